"""Rules over the text itself: kinds of segments, and thinking against answer."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest

import analysis as an
from analysis.errors import AnalysisError
from analysis.writing.rules.segments import KINDS, entropy_by_segment, kinds_of
from analysis.writing.rules.thinking import ThinkingRuns, answer_part, thinking_of
from tests.budget import EXACT

TEXT = """Intro costs $5 and $10.
- first $x^2$
  goes on
2. second

| a | b |
|---|:-:|
| 1 | 2 |
```python
x = 1  # $y$
```
End \\(a\\) and \\[b
c\\] done.
"""


def letters(text):
    return "".join(KINDS[n][0] for n in kinds_of(text))


def words(text, kind):
    """Pieces of the text of one kind."""
    kinds = kinds_of(text) == KINDS.index(kind)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kinds, [False]])))
    return [text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def test_kinds_of_a_text():
    assert words(TEXT, "code") == ["```python\nx = 1  # $y$\n```\n"]
    assert words(TEXT, "table") == ["| a | b |\n|---|:-:|\n| 1 | 2 |\n"]
    assert words(TEXT, "formula") == ["$x^2$", "\\(a\\)", "\\[b\nc\\]"]
    assert words(TEXT, "list") == ["- first ", "\n  goes on\n2. second\n"]
    assert words(TEXT, "prose")[0] == "Intro costs $5 and $10.\n"


@pytest.mark.parametrize(
    ("text", "kind", "pieces"),
    [
        ("~~~\nnever closed\n``` no", "code", ["~~~\nnever closed\n``` no"]),
        ("````\n```\n````\nx", "code", ["````\n```\n````\n"]),
        ("a ```b``` c", "code", []),
        ("a | b\n---|---\n1 | 2", "table", ["a | b\n---|---\n1 | 2"]),
        ("a | b\nc | d", "table", []),
        ("3.5 apples\n2019. A year", "list", []),
        ("* x\n\n  y", "list", ["* x\n"]),
        ("US$5-$10 and $ a $", "formula", []),
        ("$$a$$ \\begin{align*}b\\end{align*}", "formula", ["$$a$$", "\\begin{align*}b\\end{align*}"]),
        ("\\[ never", "formula", []),
        ("\\[a \\\\[2pt] b\\]", "formula", ["\\[a \\\\[2pt] b\\]"]),
        ("\\[a \\(b\\) \\text{c}\\]", "formula", ["\\[a \\(b\\) \\text{c}\\]"]),
        ("", "prose", []),
    ],
)
def test_kinds_by_case(text, kind, pieces):
    assert words(text, kind) == pieces


def test_unclosed_signs_take_no_longer_than_their_length():
    assert set(letters("$" * 20_000 + "\\[" * 2000 + "-- " * 3000 + "|" * 3000)) <= {"p", "f"}


def test_entropy_of_each_kind():
    text = "Say:\n```\nx\n```\nok"
    #       tokens: (none) "Say" ":" "\n```" "\nx" "\n```\n" "ok"
    start, end = np.array([-1, 0, 3, 4, 8, 10, 15]), np.array([-1, 3, 4, 8, 10, 15, 17])
    found = entropy_by_segment(text, start, end, np.array([np.nan, np.nan, 2, 4, 1, 1, 3.0]))
    assert found.kind == (None, "prose", "prose", "code", "code", "code", "prose")
    assert [(s.kind, s.start, s.end) for s in found.segments] == [
        ("prose", 1, 3),
        ("code", 3, 6),
        ("prose", 6, 7),
    ]
    assert found.positions == (1, 3, 6)
    assert found.formatted_minus_prose == pytest.approx(2 - 2.5, rel=EXACT)
    frame = found.to_frame("bits").set_index("kind")
    assert frame["tokens"].to_dict() == {"code": 3, "prose": 2} and frame["segments"]["prose"] == 2
    assert frame["mean_entropy_bits"]["code"] == pytest.approx(2 / log(2), rel=EXACT)
    assert frame["median_entropy_bits"]["code"] == pytest.approx(1 / log(2), rel=EXACT)


def test_prose_alone_is_compared_with_nothing():
    found = entropy_by_segment("a", np.array([0]), np.array([1]), np.array([1.0]))
    assert np.isnan(found.formatted_minus_prose) and "Abstract only" in found.known
    with pytest.raises(AnalysisError, match="no text"):
        entropy_by_segment("", np.array([]), np.array([]), np.array([]))


@pytest.mark.parametrize(
    ("prompt", "written", "answer"),
    [
        ("?", "<think>a b</think> 4", " 4"),
        ("?", "Well. <think>a</think>4", "4"),
        ("?<think>\n", "a b</think>4", "4"),
        ("?<think></think>", "4", "4"),
        ("?", "<think></think>4", "4"),
        ("?", "<think>a b", None),
        ("?<think>", "a b", None),
        ("?", "[THINK]a[/THINK]4 [THINK]b[/THINK] 5", " 5"),
        ("?", "just 4", "just 4"),
        ("?", "", ""),
    ],
)
def test_the_answer_comes_after_the_thinking(prompt, written, answer):
    assert answer_part(prompt, written) == answer


def test_what_thinking_costs():
    found = ThinkingRuns(
        np.array([17, 34, 13, 0]),
        np.array([22, 35, 13, 2]),
        ("opened in the text", "opened in the prompt", "never closed", "closed at once"),
    )
    assert found.spread == 2 and found.n_cut == 1 and "Abstract only" in found.known
    assert found.price(1e6).tolist() == [22, 35, 13, 2]
    assert found.price(1e6, 2e6).tolist() == [39, 69, 26, 2]
    assert found.to_frame()["thinking_tokens"].tolist() == [17, 34, 13, 0]
    assert np.isnan(replace(found, states=("none",) * 4).spread)


def test_thinking_tokens_of_branches(llama):
    w = an.write(llama, "4?", n_new=1)
    n = len(w.prompt.ids)
    texts = ["<think>a</think>4", "<think>aa bb cc</think>4", "<think>a", "4"]
    for text in texts:
        w = an.branch(llama, w, of=0, at=n, token=text, n_new=1)
    found = thinking_of(w, [1, 2, 3, 4])
    ids = [[int(i) for i in w.path(b)[n:]] for b in (1, 2, 3, 4)]
    assert found.written.tolist() == [len(one) for one in ids] and found.n_cut == 1
    assert found.states == ("opened in the text", "opened in the text", "never closed", "none")
    pieces = [[w.names.pieces[i] for i in one] for one in ids]
    at = [np.cumsum([0, *map(len, one)])[:-1] for one in pieces]
    ends = [len("<think>a</think>"), len("<think>aa bb cc</think>"), 10**6, 0]
    assert found.thinking.tolist() == [int((a < end).sum()) for a, end in zip(at, ends, strict=True)]
    assert found.spread == found.thinking[1] / found.thinking[0] > 1
    assert found.fewest_and_most == (0, found.thinking[1])
    assert thinking_of(w).states[0] == "none"


@pytest.mark.parametrize("price", [-1, np.nan, np.inf])
def test_a_price_is_a_number(price):
    with pytest.raises(AnalysisError) as raised:
        ThinkingRuns(np.zeros(1), np.ones(1), ("none",)).price(price)
    assert raised.value.hint


def test_no_branches_are_said(llama):
    with pytest.raises(AnalysisError, match="no samples"):
        thinking_of(an.write(llama, "4?", n_new=1), [])
