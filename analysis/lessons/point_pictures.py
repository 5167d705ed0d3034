"""Points and short lists of lessons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt
from analysis.drawing.theme import MONO_FONT, Picture, theme
from analysis.lessons.pictures import Cover, finished


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
    return finished([drawn], cover, (), theme_name, height)


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
    percent: bool = True,
) -> Any:
    """A short list with a bar each, in the order given; parameters as :func:`bars`.

    Parameters
    ----------
    names : sequence of str
        What stands in front of the bars; equal ones stay apart.
    shares : sequence of float
        Lengths of the bars; in [0, 1] for shares.
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
    end = max(0.05, float(np.nanmax(frame["share"])) * 1.35)
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "order:O",
            title=None,
            axis=alt.Axis(
                labelExpr=_named(names),
                labelFont=MONO_FONT,
                labelLimit=300,
                domain=False,
                ticks=False,
                labelColor=colours.ink,
            ),
        ),
        x=alt.X(
            "share:Q",
            title=x,
            scale=alt.Scale(domain=[0, end], nice=False),
            axis=alt.Axis(tickCount=4, grid=False, format="%" if percent else ""),
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
    return finished([drawn, words], None, (), theme_name, height)


def _named(names: Sequence[str]) -> str:
    """Vega expression that writes a name for its number: equal names stay two bars."""
    quoted = ", ".join("'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'" for name in names)
    return f"[{quoted}][datum.value]"
