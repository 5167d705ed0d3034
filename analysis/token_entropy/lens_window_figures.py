"""The logit lens with a word in each cell, and the bar of the whole text over it. Results in, figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import styled
from analysis.drawing.labels import visible
from analysis.drawing.numbers import significant
from analysis.drawing.theme import amount_ramp, rgb_to_hex, text_on, theme
from analysis.token_entropy.lens_window import WINDOW, LensQuantityName, lens_bar, lens_cells
from analysis.units import Unit

if TYPE_CHECKING:
    import altair as alt

    from analysis.results.trace import Trace

_LETTERS = 9
"""Of a word in a cell."""
_ROW = 17
_MONO = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


def _fills(values: np.ndarray, high: float, theme_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Colour of each cell and of the text on it; the ground's where there is no value."""
    colours = theme(theme_name)
    ramp = amount_ramp("token_entropy", colours.name)
    share = np.nan_to_num(values / high)
    rgb = ramp[np.clip(np.rint(share * (len(ramp) - 1)), 0, len(ramp) - 1).astype(int)]
    flat = rgb.reshape(-1, 3)
    fill = np.array([rgb_to_hex(c) for c in flat]).reshape(values.shape)
    ink = np.where(text_on(flat), "#FFFFFF", "#000000").reshape(values.shape)
    return np.where(np.isnan(values), colours.ground, fill), ink


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
    pick: bool = False,
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
    pick : bool
        Add a click selection called ``pick`` on position and layer.

    Raises
    ------
    AnalysisError
        If the run was made without the lens, or by a version without ranks.
    """
    import altair as alt

    cells = lens_cells(trace, quantity, unit=unit, first=first, width=width)
    colours, (n, columns) = theme(theme_name), cells.values.shape
    fill, ink = _fills(cells.values, cells.high, theme_name)
    at = np.arange(cells.first, cells.first + columns)
    names = {int(t): f"{_short(trace.tokens.text[t])}\n{t}" for t in at}
    order = [names[int(t)] for t in at]
    said = 10**cells.values if quantity == "rank" else cells.values
    frame = pd.DataFrame(
        {
            "layer": np.repeat(cells.layers, columns),
            "position": np.tile(at, n),
            "token": np.tile(np.array(order, dtype=object), n),
            "word": [_short(word) for row in cells.words for word in row],
            "says": [visible(word) if word else "nothing came before" for row in cells.words for word in row],
            "value": [significant(float(x)) for x in said.ravel()],
            "fill": fill.ravel(),
            "ink": ink.ravel(),
            "edge": np.where(cells.is_output, colours.ink, colours.line).ravel(),
            "wide": np.where(cells.is_output, 1.2, 0.6).ravel(),
        }
    )
    x = alt.X(
        "token:O",
        sort=order,
        title=None,
        scale=alt.Scale(paddingInner=0.04, paddingOuter=0.02),
        axis=alt.Axis(
            labelExpr="split(datum.label, '\\n')", labelAngle=0, labelFont=_MONO, labelColor=colours.ink,
            labelLimit=110, domain=False, tickSize=0, labelPadding=6,
        ),
    )  # fmt: skip
    rows = [int(i) for i in cells.layers]
    y = alt.Y(
        "layer:O",
        sort=rows[::-1],
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
    if pick:
        boxes = boxes.add_params(
            alt.selection_point(name="pick", fields=["position", "layer"], on="click", empty=False)
        )
    words = base.mark_text(font=_MONO, fontSize=11, limit=92, baseline="middle").encode(
        text="word:N", color=alt.Color("ink:N", scale=None), tooltip=hover
    )
    layers: list[Any] = [boxes, words]
    frames = _frames(
        order[token - cells.first] if token is not None and token in names else None, layer, rows
    )
    for data, encoding in frames:
        shown = alt.Chart(pd.DataFrame(data)).mark_rect(fillOpacity=0, stroke=colours.ink, strokeWidth=2)
        chosen = {"x": x} if "token" in encoding else {"y": y}
        layers.append(shown.encode(**chosen))
    return styled(alt.layer(*layers).properties(width="container", height=_ROW * n), theme_name)


def _frames(token: str | None, layer: int | None, rows: list[int]) -> list[tuple[dict[str, list[Any]], str]]:
    """One-row tables of what is framed, and the column they are placed by."""
    frames: list[tuple[dict[str, list[Any]], str]] = []
    if token is not None:
        frames.append(({"token": [token]}, "token"))
    if layer in rows:
        frames.append(({"layer": [layer]}, "layer"))
    return frames


def _short(word: str) -> str:
    shown = visible(word) if word else ""
    return shown if len(shown) <= _LETTERS else f"{shown[: _LETTERS - 1]}…"


def lens_overview(
    trace: Trace,
    quantity: LensQuantityName = "entropy",
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
    first: int = 0,
    width: int = WINDOW,
    pick: bool = False,
) -> alt.LayerChart:
    """The lens over the whole text as a low bar, with a frame where the window is.

    Parameters
    ----------
    trace, quantity, unit, theme_name, first, width
        As for :func:`lens_window`.
    pick : bool
        Add a click selection called ``pick`` on position.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    colours, (values, step) = theme(theme_name), lens_bar(trace, quantity, unit=unit)
    cells = lens_cells(trace, quantity, unit=unit, first=first, width=width)
    keep = np.unique(np.linspace(0, len(values) - 1, min(len(values), 9)).round().astype(int))
    values = values[keep]
    fill, _ink = _fills(values, cells.high, theme_name)
    n_rows, n_columns = values.shape
    position = np.arange(n_columns) * step
    n = len(trace.tokens)
    frame = pd.DataFrame(
        {
            "position": np.tile(position, n_rows),
            "end": np.tile(np.minimum(position + step, n), n_rows),
            "row": np.repeat(np.arange(n_rows), n_columns),
            "fill": fill.ravel(),
        }
    )
    frame["above"] = frame["row"] + 1
    x = alt.X("position:Q", scale=alt.Scale(domain=[0, n], nice=False), axis=None)
    bars = (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=x,
            x2="end:Q",
            y=alt.Y("row:Q", axis=None, scale=alt.Scale(domain=[0, n_rows], nice=False)),
            y2="above:Q",
            color=alt.Color("fill:N", scale=None),
            tooltip=[alt.Tooltip("position:Q", title="token")],
        )
    )
    if pick:
        bars = bars.add_params(alt.selection_point(name="pick", fields=["position"], on="click", empty=False))
    here = pd.DataFrame({"position": [cells.first], "end": [cells.first + cells.values.shape[1]]})
    window = alt.Chart(here).mark_rect(fillOpacity=0, stroke=colours.ink, strokeWidth=2, cornerRadius=3)
    return styled(
        alt.layer(bars, window.encode(x=x, x2="end:Q")).properties(width="container", height=30), theme_name
    )


__all__ = ["lens_overview", "lens_window"]
