"""The pictures of the lesson surprise. Results in, charts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count
from analysis.lessons.lesson import Drawn
from analysis.lessons.pictures import ALONE, HIGH, LOW, Cover, bars
from analysis.lessons.point_pictures import points, ranked
from analysis.lessons.surprise.claims import (
    most_surprising,
    returning,
)
from analysis.token_entropy.expected import likely_tokens, percent

if TYPE_CHECKING:
    from analysis.results.trace import Trace


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


def draw_place(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "place"."""
    top = most_surprising(trace)
    return [
        _choices(trace, at, at == top and not is_answered, theme_name),
        _surprisals(trace, at, theme_name, LOW),
    ]


def draw_first_choices(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "first choices"."""
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


def draw_together(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "together"."""
    tokens = trace.tokens
    chart = points(
        tokens.entropy.astype(float), tokens.surprisal.astype(float), picture="token_entropy", theme_name=theme_name,
        x="entropy before the token, nats", y="surprisal, nats", height=ALONE, ink=(at,), covered=not is_answered,
        names=[visible(text) for text in tokens.text],
    )  # fmt: skip
    return [
        Drawn("Expected and met", "one point a token", chart, "Surprisal against entropy, one point a token")
    ]


def draw_again(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "again"."""
    found = returning(trace)
    cover = None if is_answered or found is None else Cover(found[1] - 2.5, found[1] + 2.5)
    low, high = (
        _choices(trace, at, not is_answered and found is not None and at >= found[1], theme_name),
        _surprisals(trace, at, theme_name, LOW, cover, found or ()),
    )
    return [low, high]
