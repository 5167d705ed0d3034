"""The pictures of the lesson forgetting. Results in, charts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.drawing.labels import visible
from analysis.drawing.numbers import significant
from analysis.lessons.forgetting.claims import (
    FEW,
    HALF,
    KEPT,
    METHODS,
    NAMES,
    Forgetting,
    cost,
    named,
    needed,
)
from analysis.lessons.lesson import Drawn
from analysis.lessons.pictures import HIGH, LOW, Cover, bars
from analysis.lessons.point_pictures import ranked

if TYPE_CHECKING:
    pass


def _held(
    m: Forgetting,
    method: str,
    share: float,
    at: int,
    theme_name: str,
    height: int,
    cover: Cover | None = None,
) -> Drawn:
    names = [visible(text) for text in m.trace.tokens.text]
    chart = bars(
        m.held(method, share).astype(float), picture="pruning_effects", theme_name=theme_name, x="token of the beginning", y="share of the caches",
        height=height, ink=(at,), top=1.0, percent=True, cover=cover, names=names[: m.survived.n_context],
    )  # fmt: skip
    return Drawn(
        f"Who is kept, by {NAMES[method]}, {100 * share:g} % kept",
        "share of all caches that hold the token",
        chart,
        "Share of the caches that hold each token",
    )


def _costs(m: Forgetting, share: float, theme_name: str, height: int, is_answered: bool) -> Drawn:
    rises = [max(cost(m, name, share), 0.0) for name in METHODS]
    labels = (
        [f"{significant(cost(m, name, share), signed=True)} nats" for name in METHODS]
        if is_answered
        else ["?"] * len(METHODS)
    )
    chart = ranked(
        [NAMES[name] for name in METHODS], rises if is_answered else [0.0] * len(METHODS), picture="pruning_effects", theme_name=theme_name,
        height=height, labels=labels, x="mean surprisal more than with the full cache, nats", percent=False,
    )  # fmt: skip
    return Drawn(
        f"What it costs, {100 * share:g} % kept",
        "by whom the cache is chosen",
        chart,
        "Rise of the mean surprisal by method",
    )


def draw_first(m: Forgetting, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "first"."""
    return [_held(m, "h2o", HALF, at, theme_name, 2 * HIGH, None if is_answered else Cover(-0.5, 2.5))]


def draw_half(m: Forgetting, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "half"."""
    kept = [1.0, *KEPT]
    rises = [0.0, *(max(cost(m, "h2o", share), 0.0) for share in KEPT)]
    shown = rises if is_answered else [0.0] * len(rises)
    labels = [
        f"{significant(cost(m, 'h2o', s), signed=True) if s < 1 else '0'} nats" if is_answered else "?"
        for s in kept
    ]
    chart = ranked(
        [f"{100 * share:g} %" for share in kept], shown, picture="pruning_effects", theme_name=theme_name, height=HIGH, labels=labels,
        x="mean surprisal more than with the full cache, nats", percent=False,
    )  # fmt: skip
    return [
        _held(m, "h2o", HALF, at, theme_name, LOW),
        Drawn(
            "What it costs, by the share kept",
            "the newest and the most attended are kept",
            chart,
            "Rise of the mean surprisal by share kept",
        ),
    ]


def draw_who(m: Forgetting, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "who"."""
    return [_held(m, "streaming", FEW, at, theme_name, LOW), _costs(m, FEW, theme_name, HIGH, is_answered)]


def draw_again(m: Forgetting, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "again"."""
    column = m.survived.at(FEW)
    held = [float(m.survived.survived[i, column, at]) for i in range(len(METHODS))]
    chart = ranked(
        [NAMES[name] for name in METHODS],
        held,
        picture="pruning_effects",
        theme_name=theme_name,
        height=LOW,
        x="share of the caches",
    )
    drawn = [
        Drawn(
            f"Who still holds {named(m, at)}, token {at}",
            "30 % kept",
            chart,
            "Share of the caches that hold the token, by method",
        )
    ]
    found = needed(m)
    if found is not None:
        n = m.survived.n_context
        values = [
            m.trace.tokens.surprisal[found[0]],
            m.survived.full[found[1] - n],
            *m.survived.surprisal[:, column, found[1] - n],
        ]
        names = ["first time", "again, all kept", *(f"again, {NAMES[name]}" for name in METHODS)]
        shown = [float(v) if is_answered or i < 2 else 0.0 for i, v in enumerate(values)]
        labels = [
            f"{significant(float(v))} nats" if is_answered or i < 2 else "?" for i, v in enumerate(values)
        ]
        below = ranked(
            names,
            shown,
            picture="pruning_effects",
            theme_name=theme_name,
            height=HIGH,
            ink=(0, 1),
            labels=labels,
            x="surprisal, nats",
            percent=False,
        )
        drawn.append(
            Drawn(
                f"Surprisal of {named(m, found[0])}",
                "first and second time",
                below,
                "Surprisal of the token the first and the second time",
            )
        )
    return drawn
