"""The pictures of the lesson forks. Results in, charts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.labels import visible
from analysis.lessons.forks.claims import (
    UNSURE,
    Forks,
    price,
)
from analysis.lessons.lesson import Drawn
from analysis.lessons.pictures import HIGH, LOW, Cover, bars
from analysis.lessons.point_pictures import ranked

if TYPE_CHECKING:
    pass


def _alternatives(m: Forks, at: int, theme_name: str, height: int) -> Drawn:
    numbers = m.numbers
    ids, shares = numbers.top_ids[at, :5], np.exp(numbers.top_logprobs[at, :5].astype(float))
    chart = ranked(
        [visible(m.writing.names.names.get(int(i), "")) for i in ids], list(shares), picture="token_entropy", theme_name=theme_name, height=height,
        ink=[i for i, one in enumerate(ids) if one == m.writing.branches[0].ids[at]],
    )  # fmt: skip
    return Drawn(
        f"What could have come at token {at}",
        "the first five choices; dark: what was taken",
        chart,
        f"First choices at written token {at}",
    )


def _entropies(m: Forks, at: int, theme_name: str, height: int, cover: Cover | None) -> Drawn:
    names = [visible(m.writing.names.names.get(int(i), "")) for i in m.writing.branches[0].ids]
    chart = bars(
        m.numbers.entropy, picture="token_entropy", theme_name=theme_name, x="written token", y="nats", height=height, ink=(at,), cover=cover, names=names,
    )  # fmt: skip
    return Drawn("Entropy before every written token", "nats", chart, "Entropy along the written text")


def draw_unsure(m: Forks, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "unsure"."""
    share = m.numbers.max_prob
    chart = bars(
        share, picture="token_entropy", theme_name=theme_name, x="written token", y="probability", height=LOW, ink=(at,), rule=UNSURE, top=1.0, percent=True,
        cover=None if is_answered else Cover(4.5, len(share) - 0.5),
    )  # fmt: skip
    low = Drawn(
        "Probability of the first choice",
        "dashed: one half",
        chart,
        "Probability of the first choice along the written text",
    )
    return [_alternatives(m, at if is_answered else min(at, 4), theme_name, HIGH), low]


def draw_peaks(m: Forks, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "peaks"."""
    n = len(m.numbers.entropy)
    return [
        _alternatives(m, at, theme_name, HIGH),
        _entropies(m, at, theme_name, LOW, None if is_answered else Cover(-0.5, n - 0.5)),
    ]


def draw_elsewhere(m: Forks, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "elsewhere"."""
    del is_answered
    return [_alternatives(m, at, theme_name, HIGH), _entropies(m, at, theme_name, LOW, None)]


def draw_cost(m: Forks, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "cost"."""
    prices = [price(m, i) for i in range(len(m.numbers.entropy))]
    chart = bars(
        prices, picture="token_entropy", theme_name=theme_name, x="written token", y="nats", height=LOW, ink=(at,),
        cover=None if is_answered else Cover(-0.5, len(prices) - 0.5),
    )  # fmt: skip
    low = Drawn(
        "What the second choice costs",
        "nats more than the first",
        chart,
        "Price of the second choice along the written text",
    )
    return [_alternatives(m, m.fork if not is_answered else at, theme_name, HIGH), low]
