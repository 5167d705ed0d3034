"""The logit lens with a word in each cell, for a file or a notebook. Results in, figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import styled
from analysis.drawing.labels import visible
from analysis.drawing.numbers import significant
from analysis.drawing.theme import rgb_to_hex, text_on, theme
from analysis.token_entropy.lens_window import WINDOW, LensQuantityName, lens_cells, window_at
from analysis.units import Unit

if TYPE_CHECKING:
    import altair as alt

    from analysis.results.trace import Trace

_LETTERS = 9
"""Of a word in a cell."""
_ROW = 17
_MONO = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


def lens_window(
    trace: Trace,
    quantity: LensQuantityName = "entropy",
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
    first: int = 0,
    width: int = WINDOW,
    token: int | None = None,
    layer: int | None = None,
) -> alt.LayerChart:
    """What every layer would say before each token of a window, a word in each cell.

    Cells are outlined where the word is the output's first choice.

    Parameters
    ----------
    trace : Trace
        A run with the lens.
    quantity : {"entropy", "kl", "rank"}
        What to colour, see :func:`analysis.token_entropy.lens_window.lens_cells`.
    unit, theme_name
        As elsewhere.
    first, width : int
        The window; it is moved so that it lies in the text.
    token, layer : int, optional
        Column and row to frame in ink.

    Raises
    ------
    AnalysisError
        If the run was made without the lens, or by a version without ranks.
    """
    import altair as alt

    cells = lens_cells(trace, quantity, unit=unit, first=first, width=width)
    colours, (n, columns) = theme(theme_name), cells.values.shape
    assert cells.outlined is not None
    ramp = cells.dark if colours.name == "dark" else cells.light
    rgb, missing = ramp[cells.codes().ravel()], np.isnan(cells.values).ravel()
    at = window_at(first, len(trace.tokens), width)
    digits = len(str(at[-1]))
    order = [f"{t:0{digits}}\n{label}" for label, t in zip(cells.columns.labels, at, strict=True)]
    said = 10**cells.values if quantity == "rank" else cells.values
    words = [visible(word) if word else "" for word in cells.texts]
    frame = pd.DataFrame(
        {
            "layer": np.repeat([int(label) for label in cells.rows.labels], columns),
            "position": np.tile(list(at), n),
            "token": order * n,
            "word": [word if len(word) <= _LETTERS else f"{word[: _LETTERS - 1]}…" for word in words],
            "says": words,
            "value": [significant(float(x)) for x in said.ravel()],
            "fill": np.where(missing, colours.ground, [rgb_to_hex(c) for c in rgb]),
            "ink": np.where(text_on(rgb) & ~missing, "#FFFFFF", "#000000"),
            "edge": np.where(cells.outlined.ravel(), colours.ink, colours.line),
            "wide": np.where(cells.outlined.ravel(), 1.2, 0.6),
        }
    )
    text = "split(datum.label, '\\n')"
    x = alt.X(
        "token:O",
        title=None,
        scale=alt.Scale(paddingInner=0.04, paddingOuter=0.02),
        axis=alt.Axis(
            labelExpr=f"[{text}[1], format(toNumber({text}[0]), 'd')]", labelAngle=0, labelFont=_MONO, labelColor=colours.ink,
            labelLimit=110, domain=False, tickSize=0, labelPadding=6,
        ),
    )  # fmt: skip
    rows = [int(label) for label in cells.rows.labels]
    y = alt.Y(
        "layer:O",
        sort="descending",
        title="layer",
        scale=alt.Scale(paddingInner=0.1),
        axis=alt.Axis(values=[i for i in rows if i % 5 == 0 or len(rows) <= 12], domain=False, tickSize=0),
    )
    unit_said = "rank" if quantity == "rank" else f"{quantity if quantity == 'entropy' else 'KL'} ({unit})"
    hover = [
        alt.Tooltip("position:Q", title="token"),
        alt.Tooltip("layer:Q"),
        alt.Tooltip("says:N", title="would say"),
        alt.Tooltip("value:N", title=unit_said),
    ]
    base = alt.Chart(frame).encode(x=x, y=y)
    boxes = base.mark_rect(cornerRadius=3, strokeOpacity=1).encode(
        color=alt.Color("fill:N", scale=None),
        stroke=alt.Stroke("edge:N", scale=None),
        strokeWidth=alt.StrokeWidth("wide:Q", scale=None),
        tooltip=hover,
    )
    written = base.mark_text(font=_MONO, limit=92, baseline="middle").encode(
        text="word:N", color=alt.Color("ink:N", scale=None), tooltip=hover
    )
    layers: list[Any] = [boxes, written]
    if token is not None and token in at:
        layers.append(_outline({"token": [order[at.index(token)]]}, colours.ink).encode(x=x))
    if layer in rows:
        layers.append(_outline({"layer": [layer]}, colours.ink).encode(y=y))
    return styled(alt.layer(*layers).properties(width="container", height=_ROW * n), theme_name)


def _outline(row: dict[str, list[Any]], ink: str) -> alt.Chart:
    """Outline of one column or row."""
    import altair as alt

    return alt.Chart(pd.DataFrame(row)).mark_rect(fillOpacity=0, stroke=ink, strokeWidth=2)


__all__ = ["lens_window"]
