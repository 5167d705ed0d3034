"""Rules over the text itself: kinds of segments, and thinking against answer."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.writing.rules.segments import KINDS, entropy_by_segment, kinds_of
from analysis.writing.rules.thinking import answer_part, thinking_in, thinking_runs
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
    ("text", "opened", "thought", "answer", "state"),
    [
        ("<think>a b</think> 4", False, "a b", " 4", "closed"),
        ("Well. <think>a</think>4", False, "a", "4", "closed"),
        ("a b</think>4", True, "a b", "4", "open in the prompt"),
        ("<think>a</think>4", True, "a", "4", "open in the prompt"),
        ("a</think>4", False, "a", "4", "open in the prompt"),
        ("a <think> b</think>4", True, "a <think> b", "4", "open in the prompt"),
        ("<think></think>4", False, "", "4", "closed"),
        ("<think>a b", False, "a b", None, "never closed"),
        ("a b", True, "a b", None, "never closed"),
        ("[THINK]a[/THINK]4</think>", False, "[THINK]a[/THINK]4", "", "open in the prompt"),
        ("[THINK]a[/THINK]4", False, "a", "4", "closed"),
        ("just 4", False, "", "just 4", "none"),
        ("", False, "", "", "none"),
    ],
)
def test_thinking_and_answer(text, opened, thought, answer, state):
    found = thinking_in(text, opened)
    assert text[found.start : found.end] == thought and found.state == state
    assert answer_part(text, opened) == answer


def cut(text, size):
    at = np.arange(0, len(text), size)
    return at, np.minimum(at + size, len(text))


def test_thinking_tokens_of_runs():
    texts = ["<think>aaaa</think>44", "<think>" + "a" * 12 + "</think>4", "<think>aaaaaa", "44"]
    starts, ends = zip(*(cut(text, 1) for text in texts), strict=True)
    found = thinking_runs(texts, starts, ends)
    assert found.thinking.tolist() == [4, 12, 6, 0] and found.written.tolist() == [21, 28, 13, 2]
    assert found.spread == 3 and found.n_cut == 1
    assert found.price(1e6).tolist() == [21, 28, 13, 2]
    assert found.price(1e6, 2e6).tolist() == [25, 40, 19, 2]
    assert found.to_frame()["state"].tolist() == ["closed", "closed", "never closed", "none"]
    assert np.isnan(thinking_runs(texts[2:], starts[2:], ends[2:]).spread)


@pytest.mark.parametrize(
    "wrong", [lambda: thinking_runs([], [], []), lambda: one().price(-1), lambda: one().price(np.nan)]
)
def test_what_is_missing_is_said(wrong):
    with pytest.raises(AnalysisError) as raised:
        wrong()
    assert raised.value.hint


def one():
    return thinking_runs(["4"], [np.array([0])], [np.array([1])])
