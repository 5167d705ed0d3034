"""The pictures of the lesson variety. Results in, charts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count
from analysis.lessons.lesson import Drawn
from analysis.lessons.pictures import HIGH, LOW, Cover, Line, Note, bars, curves
from analysis.lessons.variety.claims import (
    fall_layer,
    times_others,
    varieties,
)

if TYPE_CHECKING:
    from analysis.results.trace import Trace


def _sizes(trace: Trace, layer: int, theme_name: str, height: int, *, pale: bool = False) -> Drawn:
    norms = trace.layers.residual_norm[layer].astype(float)
    others = float(np.median(norms[1:]))
    notes = [
        Note(1.5, float(norms[0]) * 0.55, f"token 0: {count(round(float(norms[0])))}"),
        Note(len(norms) - 1.0, others * 1.3, f"the others: median {count(round(others))}", "right"),
    ]
    chart = bars(
        norms, picture="entropy_collapse", theme_name=theme_name, x="token", y="norm", height=height, log=True, top=2e5,
        ink=() if pale else (0,), faint=(0,) if pale else (), notes=notes, names=[visible(text) for text in trace.tokens.text],
    )  # fmt: skip
    return Drawn(
        f"Size of every token's state after layer {layer}",
        f"{count(len(norms))} tokens, logarithmic",
        chart,
        f"Norms of the states after layer {layer}",
    )


def _variety(
    trace: Trace, layer: int, theme_name: str, cover: Cover | None, *, both: bool, faint: bool = False
) -> Drawn:
    whole, without = varieties(trace)
    lines = [Line(whole, "faint" if faint else "plain")]
    if both:
        lines.append(Line(without, "dashed"))
    chart = curves(
        lines, picture="entropy_collapse", theme_name=theme_name, x="layer", y="nats", height=HIGH, chosen=layer, cover=cover,
        top=float(max(whole.max(), without.max())) * 1.12,
    )  # fmt: skip
    return Drawn(
        "In how many ways the tokens differ",
        "matrix entropy" + ("; dashed: without token 0" if both else ""),
        chart,
        "Matrix entropy over the layers",
    )


def draw_grows(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "grows"."""
    end = trace.spec.n_layers + 0.5
    chart = curves(
        [Line(np.log10(np.maximum(times_others(trace), 1.0)))], picture="entropy_collapse", theme_name=theme_name, x="layer", y="powers of ten",
        height=HIGH, chosen=at, cover=None if is_answered else Cover(-0.5, end, "token 0 against the others, layer by layer: ?"),
    )  # fmt: skip
    first = _sizes(trace, at if is_answered else 0, theme_name, LOW)
    return [
        first,
        Drawn(
            "Size of token 0 over that of the others",
            "times the median, as a power of ten",
            chart,
            "Size of token 0 over the layers",
        ),
    ]


def draw_falls(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "falls"."""
    cover = None if is_answered else Cover(fall_layer(trace) - 0.5, trace.spec.n_layers + 0.5)
    return [_sizes(trace, at, theme_name, LOW), _variety(trace, at, theme_name, cover, both=False)]


def draw_without(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "without"."""
    cover = (
        None
        if is_answered
        else Cover(fall_layer(trace) - 0.5, trace.spec.n_layers + 0.5, "without token 0: ?")
    )
    drawn = _variety(trace, at, theme_name, None, both=is_answered, faint=is_answered)
    if cover is not None:
        whole, _ = varieties(trace)
        covered = curves(
            [Line(whole)], picture="entropy_collapse", theme_name=theme_name, x="layer", y="nats", height=HIGH, chosen=at, top=float(whole.max()) * 1.12,
            notes=[Note(fall_layer(trace) + 0.7, float(whole.max()) * 0.93, "without token 0: ?")],
        )  # fmt: skip
        drawn = Drawn(drawn.title, "matrix entropy of all tokens", covered, drawn.alt)
    return [_sizes(trace, at, theme_name, LOW, pale=is_answered), drawn]


def draw_direction(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "direction"."""
    assert trace.layers.spectrum is not None
    shares = trace.layers.spectrum[:, at, :12].astype(float)
    covered = Cover(-0.5, 1.5) if not is_answered else None
    drawn = []
    for row, title, height in ((0, "all tokens", LOW), (1, "without token 0", LOW)):
        chart = bars(
            shares[row], picture="entropy_collapse", theme_name=theme_name, x="direction", y="share", height=height, ink=(0,), top=1.0, percent=True,
            cover=covered,
        )  # fmt: skip
        drawn.append(
            Drawn(
                f"Differences between the tokens by direction, layer {at}",
                f"{title}, the largest 12",
                chart,
                f"Shares of the largest directions in layer {at}, {title}",
            )
        )
    return drawn
