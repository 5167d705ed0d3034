"""What is a surprised model: its list of next tokens, the place of the one that came, and what both say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.numbers import count, significant
from analysis.lessons.lesson import Finding, in_quotes, within
from analysis.story.numbers import repeat_of
from analysis.token_entropy.expected import percent, probability_of

if TYPE_CHECKING:
    from analysis.results.trace import Trace

WARM_UP = 8
"""Tokens at the beginning that no question is about: with so little before them every model is surprised."""
PLACES = (11, 1001)
"""Places in the model's list that part the predictions."""
SHARES = (0.15, 0.65)
TOGETHER = (0.2, 0.9)
LEFT = (0.2, 0.6)
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


def named(trace: Trace, position: int) -> str:
    """A token in quotes, without the space in front of it."""
    return in_quotes(trace.tokens.text[position])


def find_place(trace: Trace) -> Finding:
    """What was measured about "place", and which prediction came true."""
    at = most_surprising(trace)
    rank, share = int(trace.tokens.rank[at]), percent(probability_of(trace.tokens, at))
    first = name_of(trace, int(trace.tokens.top_ids[at, 0]))
    return Finding(
        within(rank, PLACES),
        f"place {count(rank)}",
        f"{named(trace, at)} stood at place {count(rank)} of {count(trace.spec.vocab_size)}, its probability was {share}; the first place had {first}. "
        f"The surprisal says the same in one number: −ln of that probability, {significant(float(trace.tokens.surprisal[at]))} nats.",
    )


def find_first_choices(trace: Trace) -> Finding:
    """What was measured about "first choices", and which prediction came true."""
    share = first_choice_share(trace)
    rank = trace.tokens.rank
    ten = float((rank[rank > 0] <= 10).mean())
    return Finding(
        within(share, SHARES),
        percent(share),
        f"{percent(share)} of the tokens were the model's first choice, and {percent(ten)} stood among its first ten. "
        "Much of a text follows from what is before it; the rest is where it says something new.",
    )


def find_together(trace: Trace) -> Finding:
    """What was measured about "together", and which prediction came true."""
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


def find_again(trace: Trace) -> Finding:
    """What was measured about "again", and which prediction came true."""
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
        f"The second {named(trace, found[0])}, {count(found[1] - found[0])} tokens later, has {significant(second)} nats in place of {significant(first)}: "
        f"{percent(left)} of the surprise is left. Nothing was learnt in between: the weights are the same, only what stands before it is other.",
    )


def name_of(trace: Trace, token_id: int) -> str:
    """A token in quotes, without the space in front of it."""
    return in_quotes(trace.tokens.names[token_id])
