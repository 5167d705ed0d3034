"""Heat maps and maps of cells as Altair charts: one image of the cells, around it axes and letters that stay sharp."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.drawing.cells import CellAxis, Cells
from analysis.drawing.charts import styled
from analysis.drawing.labels import visible
from analysis.drawing.theme import DARK
from analysis.errors import AnalysisError

if TYPE_CHECKING:
    import altair as alt
    import plotly.graph_objects as go

_WIDTH, _BAR, _BAR_STEPS = 760, 10, 128
"""Pixels of the map and of the colour bar beside it, and colours of the bar."""
_STEPS = tuple(digit * 10**power for power in range(9) for digit in (1, 2, 5))
_MOST_LABELS = 10


def heatmap_chart(figure: go.Figure) -> alt.HConcatChart:
    """The same cells, axes and colours as a figure of one heat map.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        Of one trace, a heat map with limits of its colours.

    Returns
    -------
    altair.HConcatChart
        The map, with one pixel of an image for each cell, and its colour bar.

    Raises
    ------
    AnalysisError
        For a figure of another kind.
    """
    import altair as alt

    if len(figure.data) != 1 or figure.data[0].type != "heatmap":
        raise AnalysisError("only a heat map of Plotly can be written for print", hint="Save it as .html.")
    (heat,), layout = figure.data, figure.layout
    values = np.asarray(heat.z, dtype=float)
    n_rows, n_columns = values.shape
    reverse = layout.yaxis.autorange == "reversed"
    shares = (values - heat.zmin) / (heat.zmax - heat.zmin)
    columns, rows = (-0.5, n_columns - 0.5), (-0.5, n_rows - 0.5)
    height = max(80, (layout.height or 380) - 64)
    cells = _image(
        coloured(shares if reverse else shares[::-1], heat.colorscale),
        alt.X("x:Q", axis=_axis(layout.xaxis, heat.x), scale=alt.Scale(domain=columns, nice=False)),
        alt.Y(
            "y:Q", axis=_axis(layout.yaxis, heat.y), scale=alt.Scale(domain=rows, nice=False, reverse=reverse)
        ),
        columns,
        rows,
    ).properties(width=_WIDTH, height=height)
    scale, amounts = heat.colorbar, (float(heat.zmin), float(heat.zmax))
    ticks = alt.Axis(
        title=scale.title.text, orient="right", format=scale.tickformat or "", tickCount=5, grid=False
    )
    bar = _bar(coloured(np.linspace(1, 0, _BAR_STEPS)[:, None], heat.colorscale), ticks, amounts, height)
    chart = alt.hconcat(cells, bar, spacing=12)
    return styled(chart, "dark" if layout.paper_bgcolor == DARK.ground else "light")


def cells_chart(cells: Cells, theme_name: str = "light") -> alt.HConcatChart:
    """A map of cells, row 0 on top, and its colour bar with the three amounts that the legend of the app writes."""
    import altair as alt

    n_rows, n_columns = cells.values.shape
    ramp = cells.dark if theme_name == "dark" else cells.light
    pixels = np.dstack([ramp[cells.codes()], np.where(np.isnan(cells.values), 0, 255).astype(np.uint8)])
    columns, rows, height = (-0.5, n_columns - 0.5), (-0.5, n_rows - 0.5), min(420, max(80, 24 * n_rows))
    picture = _image(
        pixels,
        alt.X(
            "x:Q", axis=_cell_axis(cells.columns, _MOST_LABELS), scale=alt.Scale(domain=columns, nice=False)
        ),
        alt.Y(
            "y:Q",
            axis=_cell_axis(cells.rows, height // 16),
            scale=alt.Scale(domain=rows, nice=False, reverse=True),
        ),
        columns,
        rows,
    ).properties(width=_WIDTH, height=height)
    ends = f"{json.dumps(cells.marks)}[round(2 * datum.value)]"
    ticks = alt.Axis(title=cells.title, orient="right", values=[0, 0.5, 1], labelExpr=ends, grid=False)
    bar = _bar(np.dstack([ramp[::-1, None], np.full((len(ramp), 1), 255, np.uint8)]), ticks, (0, 1), height)
    return styled(alt.hconcat(picture, bar, spacing=12), theme_name)


def _bar(pixels: np.ndarray, ticks: alt.Axis, amounts: tuple[float, float], height: float) -> alt.Chart:
    """Colours from the last one on top to the first, with the amounts they stand for."""
    import altair as alt

    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=(0, 1)))
    y = alt.Y("y:Q", axis=ticks, scale=alt.Scale(domain=amounts, nice=False))
    return _image(pixels, x, y, (0, 1), amounts).properties(width=_BAR, height=height)


def coloured(shares: np.ndarray, scale: Sequence[tuple[float, str]]) -> np.ndarray:
    """Colours of cells, uint8, shape (R, C, 4): straight lines between the stops of a Plotly scale; none where NaN."""
    at = np.array([stop for stop, _ in scale])
    stops = np.array([[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for _, colour in scale])
    known = np.nan_to_num(np.clip(shares, 0, 1))
    rgb = np.stack([np.interp(known, at, stops[:, k]) for k in range(3)], axis=-1)
    alpha = np.where(np.isnan(shares), 0, 255)[..., None]
    return np.rint(np.concatenate([rgb, alpha], axis=-1)).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """PNG of 8-bit colours with their opacity, shape (R, C, 4) (ISO/IEC 15948, colour type 6, no filter)."""
    n_rows, n_columns, _ = pixels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = np.concatenate([np.zeros((n_rows, 1), np.uint8), pixels.reshape(n_rows, -1)], axis=1)
    head = struct.pack(">IIBBBBB", n_columns, n_rows, 8, 6, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _image(
    pixels: np.ndarray, x: alt.X, y: alt.Y, columns: tuple[float, float], rows: tuple[float, float]
) -> alt.Chart:
    """An image that fills its axes, first row on top."""
    import altair as alt

    url = f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"
    place = {"url": url, "x": columns[0], "x2": columns[1], "y": rows[0], "y2": rows[1]}
    image = alt.Chart(alt.Data(values=[place])).mark_image(aspect=False, smooth=False)
    return image.encode(x=x, x2="x2:Q", y=y, y2="y2:Q", url="url:N")


def _axis(axis: Any, places: Any) -> alt.Axis:
    """Axis of cells by their number, with the labels that Plotly would write."""
    if axis.tickmode == "array":
        known = np.asarray(places, dtype=float) if not isinstance(places[0], str) else np.arange(len(places))
        at = np.interp(np.asarray(axis.tickvals, dtype=float), known, np.arange(len(places)))
        labels = list(axis.ticktext)
    elif isinstance(places[0], str):
        at, labels = np.arange(len(places)), list(places)
    else:
        step = next(s for s in _STEPS if len(places) <= _MOST_LABELS * s)
        whole = (
            int(places[-1]) - int(places[0]) == len(places) - 1
        )  # round numbers, where every number has a cell
        at = np.arange(-int(places[0]) % step if whole else 0, len(places), step)
        labels = [f"{places[k]:.0f}" for k in at]
    return _labelled(axis.title.text, at.tolist(), labels)


def _cell_axis(axis: CellAxis, most: int) -> alt.Axis:
    """Every 1, 2, 5, 10, ... label of an axis of cells, at most so many."""
    step = next(s for s in _STEPS if len(axis.labels) <= most * s)
    at = list(range(0, len(axis.labels), step))
    return _labelled(axis.title, at, [visible(axis.labels[k]) for k in at])


def _labelled(title: str, at: list[float] | list[int], labels: list[str]) -> alt.Axis:
    import altair as alt

    shown = f"{json.dumps(labels)}[indexof({json.dumps(at)}, datum.value)]"
    return alt.Axis(title=title, values=at, labelExpr=shown, grid=False, labelOverlap=True)
