"""The picture of one head's attention map. A result in, a figure out; no model, no torch."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.drawing.charts import plotly_layout
from analysis.drawing.labels import hover_label
from analysis.drawing.theme import amount_ramp, plotly_scale, theme

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from analysis.attention_sinks.maps import HeadMap
    from analysis.results.trace import Trace

_TICKS = 12
"""Labels on an axis."""


def head_map_figure(head_map: HeadMap, trace: Trace, theme_name: str = "light") -> go.Figure:
    """Query by key, query 0 on top; empty where a query cannot see a key.

    Parameters
    ----------
    head_map : HeadMap
        From :func:`analysis.head_map_block`.
    trace : Trace
        The run it was computed from, for the text of its tokens.
    theme_name : {"light", "dark"}
        Colours.

    Returns
    -------
    plotly.graph_objects.Figure
        One category per cell; the axis titles say how many tokens a cell holds.

    Notes
    -----
    The last colour stands for the 99.5th percentile of the cells, at least a tenth of the
    largest: a single sink column does not bleach everything else. Hover gives the value.
    """
    import plotly.graph_objects as go

    rows, keys = head_map.row_edges, head_map.key_edges
    if rows[-1] > len(trace.tokens) or keys[-1] > len(trace.tokens):
        raise ValueError("the map is not of this run")
    values = head_map.values
    seen = values[np.isfinite(values)]
    top = max(float(np.percentile(seen, 99.5)), float(seen.max()) / 10, 1e-6) if seen.size else 1.0
    amount = {"max": "largest weight", "mean": "mean weight"}[head_map.pool] if head_map.pooled else "weight"
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=_names(trace, keys),
            y=_names(trace, rows),
            colorscale=plotly_scale(amount_ramp("attention_sinks", theme(theme_name).name)),
            zmin=0,
            zmax=top,
            colorbar={"title": {"text": amount, "side": "right"}, "thickness": 12, "outlinewidth": 0},
            hovertemplate=f"query %{{y}}<br>key %{{x}}<br>{amount} %{{z:.4g}}<extra></extra>",
            hoverongaps=False,
        )
    )
    figure.update_layout(
        **plotly_layout(
            theme_name,
            height=560,
            xaxis=_axis("key token", keys),
            yaxis=_axis("query token", rows) | {"autorange": "reversed"},
        )
    )
    return figure


def _axis(title: str, edges: np.ndarray) -> dict[str, Any]:
    """Axis of cells with the position of every so many as its label."""
    step = int(np.diff(edges).max())
    ticks = np.arange(0, len(edges) - 1, max(1, -(-(len(edges) - 1) // _TICKS)))
    return {
        "title": {"text": title if step == 1 else f"{title} ({step} tokens a cell)"},
        "type": "category",
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [str(edges[i]) for i in ticks],
        "tickangle": 0,
        "showgrid": False,
    }


def _names(trace: Trace, edges: np.ndarray) -> list[str]:
    """Positions and text of each cell's first and last token, safe in a hover; no two are equal."""
    names = []
    for first, end in pairwise(edges.tolist()):
        name = f"{first} “{hover_label(trace.tokens.text[first])}”"
        names.append(
            name if end - first == 1 else f"{name} to {end - 1} “{hover_label(trace.tokens.text[end - 1])}”"
        )
    return names


__all__ = ["head_map_figure"]
