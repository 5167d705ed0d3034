"""What is a surprised model: its list of next tokens, the place of the one that came, and what both say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from analysis.lessons.lesson import Drawn, Excerpt, Finding, Lesson, Option, Slider, Step, within
from analysis.lessons.measuring import read, stored_run
from analysis.lessons.pictures import ALONE, HIGH, LOW, Cover, bars, points, ranked
from analysis.lessons.story import STORY
from analysis.story.numbers import repeat_of
from analysis.token_entropy.expected import likely_tokens, percent, probability_of

if TYPE_CHECKING:
    from analysis.results.trace import Trace

WARM_UP = 8
"""Tokens at the beginning that no question is about: with so little before them every model is surprised."""
PLACES = (11, 1001)
"""Places in the model's list that part the predictions."""
SHARES = (0.15, 0.65)
TOGETHER = (0.2, 0.9)
LEFT = (0.2, 0.6)
_WORDS = 90
"""Characters of the text before a token."""


def most_surprising(trace: Trace) -> int:
    """Position of the token with the highest surprisal, after the first :data:`WARM_UP`."""
    late = np.where(np.arange(len(trace.tokens)) < WARM_UP, -np.inf, trace.tokens.surprisal)
    return int(np.nanargmax(late))


def first_choice_share(trace: Trace) -> float:
    """Share of the predicted tokens that were the model's first choice."""
    rank = trace.tokens.rank
    return float((rank[rank > 0] == 1).mean())


def correlation(trace: Trace) -> float:
    """Pearson correlation of entropy before each token and its surprisal; NaN where one does not vary."""
    known = trace.tokens.has_context
    entropy, surprisal = (x[known].astype(float) for x in (trace.tokens.entropy, trace.tokens.surprisal))
    return (
        float(np.corrcoef(entropy, surprisal)[0, 1])
        if np.ptp(entropy) and np.ptp(surprisal)
        else float("nan")
    )


def returning(trace: Trace) -> tuple[int, int] | None:
    """The most surprising token that comes again with the token before it, and where; None where none does."""
    surprisal = np.nan_to_num(trace.tokens.surprisal, nan=-1.0)
    for position in np.argsort(-surprisal, kind="stable"):
        if position < WARM_UP:
            continue
        again = repeat_of(trace.tokens, int(position))
        if again is not None and again.words > 1:
            return int(position), again.position
    return None


def _name(trace: Trace, position: int) -> str:
    return f"“{visible(trace.tokens.text[position]).lstrip('·') or visible(trace.tokens.text[position])}”"


def _place(trace: Trace) -> Finding:
    at = most_surprising(trace)
    rank, share = int(trace.tokens.rank[at]), percent(probability_of(trace.tokens, at))
    first = _name_of(trace, int(trace.tokens.top_ids[at, 0]))
    return Finding(
        within(rank, PLACES),
        f"place {count(rank)}",
        f"{_name(trace, at)} stood at place {count(rank)} of {count(trace.spec.vocab_size)}, its probability was {share}; the first place had {first}. "
        f"The surprisal says the same in one number: −ln of that probability, {significant(float(trace.tokens.surprisal[at]))} nats.",
    )


def _first_choices(trace: Trace) -> Finding:
    share = first_choice_share(trace)
    rank = trace.tokens.rank
    ten = float((rank[rank > 0] <= 10).mean())
    return Finding(
        within(share, SHARES),
        percent(share),
        f"{percent(share)} of the tokens were the model's first choice, and {percent(ten)} stood among its first ten. "
        "Much of a text follows from what is before it; the rest is where it says something new.",
    )


def _together(trace: Trace) -> Finding:
    r = correlation(trace)
    if np.isnan(r):
        return Finding(
            None, "not available", "On this text one of the two numbers never changes. Take a longer one."
        )
    tokens = trace.tokens
    known = tokens.has_context
    above = float((tokens.surprisal[known] > tokens.entropy[known]).mean())
    return Finding(
        within(r, TOGETHER),
        f"correlation {significant(r)}",
        f"Entropy is what the model expects its surprisal to be: the means are {significant(float(np.nanmean(tokens.entropy)))} and "
        f"{significant(float(np.nanmean(tokens.surprisal)))} nats, the correlation is {significant(r)}. "
        f"Token by token they part: {percent(above)} surprise it more than it expected, the others less.",
    )


def _again(trace: Trace) -> Finding:
    found = returning(trace)
    if found is None:
        return Finding(
            None,
            "never",
            "No surprising token comes again after the same word here. Take a text that repeats something.",
        )
    first, second = (float(trace.tokens.surprisal[at]) for at in found)
    left = second / first
    return Finding(
        within(left, LEFT),
        f"{significant(first)} → {significant(second)} nats",
        f"The second {_name(trace, found[0])}, {count(found[1] - found[0])} tokens later, has {significant(second)} nats in place of {significant(first)}: "
        f"{percent(left)} of the surprise is left. Nothing was learnt in between; "
        + (
            "the model finds the first place in its context and reads on from there."
            if left < LEFT[1]
            else "the model did not use the first place."
        ),
    )


def _name_of(trace: Trace, token_id: int) -> str:
    return f"“{visible(trace.tokens.names[token_id]).lstrip('·')}”"


def _slider(trace: Trace, start: int) -> Slider:
    return Slider("token", 1, len(trace.tokens) - 1, start)


def _excerpt(trace: Trace, at: int) -> Excerpt:
    tokens = trace.tokens
    start, end = int(tokens.start[at]), int(tokens.end[at])
    before = trace.text[max(0, start - _WORDS) : start]
    return Excerpt(("…" if start > _WORDS else "") + before, trace.text[start:end] or tokens.text[at])


def _surprisals(
    trace: Trace, at: int, theme_name: str, height: int, cover: Cover | None = None, ink: tuple[int, ...] = ()
) -> Drawn:
    tokens = trace.tokens
    chart = bars(
        tokens.surprisal, picture="token_entropy", theme_name=theme_name, x="token", y="nats", height=height,
        ink=(at, *ink), cover=cover, names=[visible(text) for text in tokens.text],
    )  # fmt: skip
    return Drawn(
        "Surprisal of every token",
        "nats, −ln of its probability",
        chart,
        f"Surprisal along the text, token {at} marked",
    )


def _choices(trace: Trace, at: int, is_covered: bool, theme_name: str) -> Drawn:
    rows = likely_tokens(trace.tokens, at, most=6)
    if is_covered:
        rows = rows[~rows["came"]].head(5)
    labels = [
        f"{percent(p)}" + (f"  came, place {count(place)}" if came else "")
        for place, came, p in zip(rows["place"], rows["came"], rows["probability"], strict=True)
    ]
    chart = ranked(
        [visible(name) for name in rows["token"]], list(rows["probability"]), picture="token_entropy", theme_name=theme_name,
        height=HIGH, ink=[i for i, came in enumerate(rows["came"]) if came], labels=labels,
    )  # fmt: skip
    return Drawn(
        f"What the model expected at token {at}",
        "its first choices",
        chart,
        f"First choices before token {at} with their probabilities",
    )


def _draw_place(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    top = most_surprising(trace)
    return [
        _choices(trace, at, at == top and not is_answered, theme_name),
        _surprisals(trace, at, theme_name, LOW),
    ]


def _draw_first_choices(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    rank = trace.tokens.rank[trace.tokens.has_context]
    edges = (1, 2, 11, 101, 1001)
    names = ("1st choice", "2 to 10", "11 to 100", "101 to 1 000", "beyond")
    shares = [
        float(((rank >= low) & (rank < high)).mean())
        for low, high in zip(edges, (*edges[1:], np.inf), strict=True)
    ]
    chart = ranked(
        names, shares if is_answered else [0.0] * 5, picture="token_entropy", theme_name=theme_name, height=HIGH,
        ink=(0,), labels=() if is_answered else ["?"] * 5, x="share of the tokens",
    )  # fmt: skip
    places = Drawn(
        "Place of the token that came",
        "in the model's list",
        chart,
        "Share of tokens by their place in the model's list",
    )
    return [_choices(trace, at, False, theme_name), places]


def _draw_together(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    tokens = trace.tokens
    chart = points(
        tokens.entropy.astype(float), tokens.surprisal.astype(float), picture="token_entropy", theme_name=theme_name,
        x="entropy before the token, nats", y="surprisal, nats", height=ALONE, ink=(at,), covered=not is_answered,
        names=[visible(text) for text in tokens.text],
    )  # fmt: skip
    return [
        Drawn("Expected and met", "one point a token", chart, "Surprisal against entropy, one point a token")
    ]


def _draw_again(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    found = returning(trace)
    cover = None if is_answered or found is None else Cover(found[1] - 2.5, found[1] + 2.5)
    low, high = (
        _choices(trace, at, not is_answered and found is not None and at >= found[1], theme_name),
        _surprisals(trace, at, theme_name, LOW, cover, found or ()),
    )
    return [low, high]


LESSON = Lesson(
    slug="surprise",
    title="What is a surprised model?",
    question="A model reads a text and has to guess each next token. When is it surprised, and by how much?",
    picture="token_entropy",
    needs="text",
    own=STORY,
    steps=(
        Step(
            "place",
            "A list of all tokens",
            lambda t: (
                f"Before each token the model puts all {count(t.spec.vocab_size)} tokens in order. "
                f"At which place stood {_name(t, most_surprising(t))}, the one that came?"
            ),
            (
                Option("Among the first ten", "It is a common word."),
                Option("From 11 to 1 000", "Possible, but others fit better."),
                Option("Beyond 1 000", "Nothing before it points there."),
            ),
            2,
            lambda t: _slider(t, most_surprising(t)),
            _place,
            _draw_place,
            _excerpt,
        ),
        Step(
            "first-choice",
            "How often it is right",
            lambda t: (
                f"Over all {count(int(t.tokens.has_context.sum()))} tokens: how often was the one that came the model's first choice?"
            ),
            (
                Option("Less than 15 %", "There are so many tokens."),
                Option("15 to 65 %", "Some follow, some do not."),
                Option("More than 65 %", "Language is a habit."),
            ),
            1,
            lambda t: _slider(t, most_surprising(t)),
            _first_choices,
            _draw_first_choices,
            _excerpt,
        ),
        Step(
            "expected",
            "Expected and met",
            lambda _: (
                "Entropy says how surprised the model expects to be; surprisal says how surprised it was. "
                "How do the two go together, token by token?"
            ),
            (
                Option("Not at all", "It cannot know what it does not know.", ((0.5, 0.5),)),
                Option(
                    "Roughly",
                    "It knows where anything may come.",
                    ((0.15, 0.85), (0.3, 0.05, 0.6, 0.35, 0.95, 0.55)),
                ),
                Option("Exactly", "It always knows how wrong it is.", ((0.1, 0.9),)),
            ),
            1,
            lambda t: _slider(t, most_surprising(t)),
            _together,
            _draw_together,
            _excerpt,
        ),
        Step(
            "again",
            "The second time",
            lambda t: (
                "Does a surprising token come again in this text, after the same word?"
                if (found := returning(t)) is None
                else f"{_name(t, found[0])} was a surprise of {significant(float(t.tokens.surprisal[found[0]]))} nats. "
                f"{count(found[1] - found[0])} tokens later it comes again after the same word. How much of the surprise is left?"
            ),
            (
                Option("Less than a fifth", "It has read that before."),
                Option("20 to 60 %", "It is used to it a little."),
                Option("More than 60 %", "A model learns in training only."),
            ),
            0,
            lambda t: _slider(t, (returning(t) or (most_surprising(t), 0))[0]),
            _again,
            _draw_again,
            _excerpt,
        ),
    ),
    measure=read,
    stored=lambda: stored_run("story"),
    notes="Write a sentence on the board and cover its last word: everybody is such a model. Most people predict that a surprising word is "
    "still among the first ten, and that nothing can be learnt while a text is read. At the end, let the class look for a sentence of "
    "their own whose last word stands beyond place 1 000, and put it in with Text.",
)
