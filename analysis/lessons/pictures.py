"""Bars and curves of lessons; what a prediction is about stays covered until the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import Picture, theme

LOW, HIGH, ALONE = 84, 124, 238
"""Heights of the upper picture, the lower one, and one alone: pixels before they are enlarged for the projector."""
_TICKS = 6


@dataclass(frozen=True)
class Line:
    """One curve."""

    values: Sequence[float] | np.ndarray
    style: str = "plain"
    """"plain" in the picture's colour, "faint" the same but pale, "dashed" in ink."""
    at: Sequence[float] | np.ndarray | None = None
    """Places of the values; 0, 1, 2, ... by default."""


@dataclass(frozen=True)
class Note:
    """Words at a place of a chart."""

    x: float
    y: float
    text: str
    align: Literal["left", "center", "right"] = "left"


@dataclass(frozen=True)
class Cover:
    """A part of a chart that is covered until the answer is shown."""

    first: float
    last: float
    text: str = "?"


def bars(
    values: Sequence[float] | np.ndarray,
    *,
    picture: Picture,
    theme_name: str,
    x: str,
    y: str,
    height: int,
    ink: Iterable[int] = (),
    faint: Iterable[int] = (),
    cover: Cover | None = None,
    log: bool = False,
    rule: float | None = None,
    notes: Iterable[Note] = (),
    top: float | None = None,
    percent: bool = False,
    names: Sequence[str] = (),
) -> Any:
    """Bars beside each other, one a token or a head.

    Parameters
    ----------
    values : array, shape (n,)
        Heights; NaN draws none.
    picture, theme_name
        Colours.
    x, y : str
        Titles of the axes.
    height : int
        Pixels.
    ink, faint : iterable of int
        Bars in ink instead of the picture's colour, and pale ones.
    cover : Cover, optional
        What is covered.
    log : bool
        Logarithmic heights, from 1 on.
    rule : float, optional
        A dashed line across.
    notes : iterable of Note
        Words.
    top : float, optional
        End of the axis; by default from the values.
    percent : bool
        The values are shares.
    names : sequence of str
        Of the bars, for the hover.
    """
    colours = theme(theme_name)
    n = len(values)
    ink, faint = set(ink), set(faint)
    height_of = np.maximum(values, 1.0) if log else np.asarray(values, float)
    highest = top or float(np.nanmax(height_of)) * 1.06 or 1.0
    frame = pd.DataFrame(
        {
            "left": np.arange(n) - 0.42,
            "right": np.arange(n) + 0.42,
            "from": 1.0 if log else 0.0,
            "value": height_of,
            "name": list(names) if len(names) else [str(i) for i in range(n)],
            "kind": ["ink" if i in ink else "faint" if i in faint else "plain" for i in range(n)],
        }
    ).dropna()
    if cover is not None:
        frame = frame[(frame["right"] < cover.first) | (frame["left"] > cover.last)]
    scale = (
        alt.Scale(type="log", domain=[1, max(10.0, highest)], nice=False)
        if log
        else alt.Scale(domain=[0, highest], nice=False)
    )
    drawn = (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=_along("left", n - 1, x),
            x2="right:Q",
            y=alt.Y("from:Q", title=None, scale=scale, axis=_values(percent, log)),
            y2="value:Q",
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(
                    domain=["plain", "ink", "faint"],
                    range=[colours.pictures[picture], colours.ink, colours.line],
                ),
                legend=None,
            ),
            tooltip=[alt.Tooltip("name:N", title=x), alt.Tooltip("value:Q", title=y, format=".4")],
        )
    )
    layers = [drawn]
    if rule is not None:
        line = alt.Chart(pd.DataFrame({"rule": [rule]}))
        layers.append(line.mark_rule(color=colours.ink, strokeDash=[5, 5]).encode(y="rule:Q"))
    return finished(layers, cover, notes, theme_name, height)


def curves(
    lines: Sequence[Line],
    *,
    picture: Picture,
    theme_name: str,
    x: str,
    y: str,
    height: int,
    chosen: float | None = None,
    cover: Cover | None = None,
    notes: Iterable[Note] = (),
    top: float | None = None,
    percent: bool = False,
) -> Any:
    """Curves over layers or steps, with the chosen place as a line; parameters as :func:`bars`."""
    colours = theme(theme_name)
    places = [np.arange(len(one.values)) if one.at is None else np.asarray(one.at) for one in lines]
    last = float(max(at[-1] for at in places))
    largest = max(float(np.nanmax(np.asarray(one.values, float))) for one in lines)
    scale = alt.Scale(domain=[0, top or largest * 1.12 or 1.0], nice=False)
    layers = []
    for number, (one, at) in enumerate(zip(lines, places, strict=True)):
        frame = pd.DataFrame({"x": at, "value": np.asarray(one.values, float)}).dropna()
        if cover is not None:
            frame = frame[(frame["x"] < cover.first) | (frame["x"] > cover.last)]
        dashed: Any = {"strokeDash": [5, 5]} if one.style == "dashed" else {}
        mark = alt.Chart(frame).mark_line(
            color=colours.ink if one.style == "dashed" else colours.pictures[picture],
            strokeWidth=2.6,
            opacity=0.4 if one.style == "faint" else 1.0,
            clip=True,
            **dashed,
        )
        layers.append(
            mark.encode(
                x=_along("x", last, x if not number else None),
                y=alt.Y("value:Q", title=None, scale=scale, axis=_values(percent)),
                tooltip=[
                    alt.Tooltip("x:Q", title=x),
                    alt.Tooltip("value:Q", title=y, format=".4"),
                ],
            )
        )
    if chosen is not None:
        line = alt.Chart(pd.DataFrame({"x": [chosen]}))
        layers.append(line.mark_rule(color=colours.ink, strokeWidth=1.3).encode(x="x:Q"))
    return finished(layers, cover, notes, theme_name, height)


def _along(column: str, last: float, title: str | None) -> Any:
    step = max(1, round(last / _TICKS))
    return alt.X(
        f"{column}:Q",
        title=title,
        axis=alt.Axis(values=list(range(0, int(last) + 1, step)), grid=False, format="d"),
        scale=alt.Scale(domain=[-0.5, last + 0.5], nice=False),
    )


def _values(percent: bool, log: bool = False) -> Any:
    more: dict[str, Any] = {"format": "%"} if percent else {}
    if log:
        more = {"values": [1, 100, 10_000], "format": "d"}
    return alt.Axis(tickCount=3, domain=False, ticks=False, minExtent=44, maxExtent=44, **more)


def finished(
    layers: list[Any], cover: Cover | None, notes: Iterable[Note], theme_name: str, height: int
) -> Any:
    """Layers with what is covered, and words on top; parameters as :func:`bars`."""
    colours = theme(theme_name)
    if cover is not None:
        frame = pd.DataFrame({"x": [cover.first], "x2": [cover.last], "text": [cover.text]})
        frame["middle"] = (cover.first + cover.last) / 2
        over = alt.Chart(frame)
        layers.append(
            over.mark_rect(fill=colours.quiet, stroke=colours.line).encode(
                x="x:Q", x2="x2:Q", y=alt.value(0), y2=alt.value("height")
            )
        )
        layers.append(
            over.mark_text(color=colours.ink, fontWeight="bold").encode(
                x="middle:Q", y=alt.value(alt.expr("height / 2")), text="text:N"
            )
        )
    for note in notes:
        words = alt.Chart(pd.DataFrame({"x": [note.x], "y": [note.y], "text": [note.text]}))
        layers.append(
            words.mark_text(align=note.align, color=colours.ink, baseline="bottom", dy=-2).encode(
                x="x:Q", y="y:Q", text="text:N"
            )
        )
    return styled(alt.layer(*layers).properties(width="container", height=height), theme_name)
