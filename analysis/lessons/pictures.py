"""The few kinds of charts that lessons draw: bars, curves, points and a short list; what a prediction is about stays covered until the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import MONO_FONT, Picture, theme

LOW, HIGH, ALONE = 74, 112, 206
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
    align: str = "left"


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
        alt.Scale(type="log", domain=[1, max(10.0, highest)])
        if log
        else alt.Scale(domain=[0, highest], nice=False)
    )
    drawn = (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=_along("left", n - 1, x),
            x2="right:Q",
            y=alt.Y("from:Q", title=y, scale=scale, axis=_values(percent)),
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
    return _finished(layers, cover, notes, theme_name, height)


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
        dashed = {"strokeDash": [5, 5]} if one.style == "dashed" else {}
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
                y=alt.Y("value:Q", title=y if not number else None, scale=scale, axis=_values(percent)),
                tooltip=[
                    alt.Tooltip("x:Q", title=x),
                    alt.Tooltip("value:Q", title=y, format=".4"),
                ],
            )
        )
    if chosen is not None:
        line = alt.Chart(pd.DataFrame({"x": [chosen]}))
        layers.append(line.mark_rule(color=colours.ink, strokeWidth=1.3).encode(x="x:Q"))
    return _finished(layers, cover, notes, theme_name, height)


def points(
    across: np.ndarray,
    up: np.ndarray,
    *,
    picture: Picture,
    theme_name: str,
    x: str,
    y: str,
    height: int,
    ink: Iterable[int] = (),
    covered: bool = False,
    names: Sequence[str] = (),
) -> Any:
    """A point for each pair of numbers; covered ones leave the axes alone. Parameters as :func:`bars`."""
    colours = theme(theme_name)
    marked = set(ink)
    frame = pd.DataFrame(
        {
            "x": across,
            "y": up,
            "name": list(names) if len(names) else [str(i) for i in range(len(up))],
            "kind": ["ink" if i in marked else "plain" for i in range(len(up))],
        }
    ).dropna()
    ends = [0, float(frame["x"].max()) * 1.05], [0, float(frame["y"].max()) * 1.05]
    shown = frame[frame["kind"] == "ink"] if covered else frame
    drawn = (
        alt.Chart(shown)
        .mark_circle(opacity=0.85)
        .encode(
            x=alt.X("x:Q", title=x, scale=alt.Scale(domain=ends[0], nice=False), axis=alt.Axis(grid=False)),
            y=alt.Y("y:Q", title=y, scale=alt.Scale(domain=ends[1], nice=False)),
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=["plain", "ink"], range=[colours.pictures[picture], colours.ink]),
                legend=None,
            ),
            size=alt.Size("kind:N", scale=alt.Scale(domain=["plain", "ink"], range=[46, 170]), legend=None),
            tooltip=[
                alt.Tooltip("name:N", title="token"),
                alt.Tooltip("x:Q", title=x, format=".3"),
                alt.Tooltip("y:Q", title=y, format=".3"),
            ],
        )
    )
    cover = Cover(ends[0][1] * 0.12, ends[0][1] * 0.88) if covered else None
    return _finished([drawn], cover, (), theme_name, height)


def ranked(
    names: Sequence[str],
    shares: Sequence[float],
    *,
    picture: Picture,
    theme_name: str,
    height: int,
    ink: Iterable[int] = (),
    labels: Sequence[str] = (),
    x: str = "probability",
) -> Any:
    """A short list with a bar each, in the order given; parameters as :func:`bars`.

    Parameters
    ----------
    names : sequence of str
        What stands in front of the bars; equal ones stay apart.
    shares : sequence of float
        In [0, 1].
    labels : sequence of str
        What stands behind them; percentages by default.
    """
    colours = theme(theme_name)
    marked = set(ink)
    frame = pd.DataFrame(
        {
            "order": range(len(names)),
            "name": list(names),
            "share": list(shares),
            "label": list(labels) if len(labels) else [f"{100 * share:.1f} %" for share in shares],
            "kind": ["ink" if i in marked else "plain" for i in range(len(names))],
        }
    )
    end = max(0.05, float(np.nanmax(frame["share"])) * 1.25)
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "order:O",
            title=None,
            axis=alt.Axis(
                labelExpr=_named(names),
                labelFont=MONO_FONT,
                domain=False,
                ticks=False,
                labelColor=colours.ink,
            ),
        ),
        x=alt.X(
            "share:Q",
            title=x,
            scale=alt.Scale(domain=[0, end], nice=False),
            axis=alt.Axis(format="%", tickCount=4, grid=False),
        ),
    )
    drawn = base.mark_bar().encode(
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=["plain", "ink"], range=[colours.pictures[picture], colours.ink]),
            legend=None,
        ),
        tooltip=["name:N", alt.Tooltip("share:Q", title=x, format=".4")],
    )
    words = base.mark_text(align="left", dx=5, color=colours.ink).encode(text="label:N")
    return _finished([drawn, words], None, (), theme_name, height)


def _named(names: Sequence[str]) -> str:
    """Vega expression that writes a name for its number: equal names stay two bars."""
    quoted = ", ".join("'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'" for name in names)
    return f"[{quoted}][datum.value]"


def _along(column: str, last: float, title: str | None) -> Any:
    step = max(1, round(last / _TICKS))
    return alt.X(
        f"{column}:Q",
        title=title,
        axis=alt.Axis(values=list(range(0, int(last) + 1, step)), grid=False, format="d"),
        scale=alt.Scale(domain=[-0.5, last + 0.5], nice=False),
    )


def _values(percent: bool) -> Any:
    more = {"format": "%"} if percent else {}
    return alt.Axis(tickCount=3, domain=False, ticks=False, minExtent=44, maxExtent=44, **more)


def _finished(
    layers: list[Any], cover: Cover | None, notes: Iterable[Note], theme_name: str, height: int
) -> Any:
    """Layers with what is covered, and words on top."""
    colours = theme(theme_name)
    if cover is not None:
        frame = pd.DataFrame({"x": [cover.first], "x2": [cover.last], "text": [cover.text]})
        frame["middle"] = (cover.first + cover.last) / 2
        over = alt.Chart(frame)
        layers.append(
            over.mark_rect(fill=colours.quiet, stroke=colours.line).encode(
                x="x:Q", x2="x2:Q", y=alt.value(0), y2=alt.value(height)
            )
        )
        layers.append(
            over.mark_text(color=colours.ink, fontWeight="bold").encode(
                x="middle:Q", y=alt.value(height / 2), text="text:N"
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
