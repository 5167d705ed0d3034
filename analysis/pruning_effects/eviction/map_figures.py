"""Maps of what survived: token by layer, and a phrase by method, layer and KV head. Results in, figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.drawing.charts import plotly_layout
from analysis.drawing.labels import hover_label
from analysis.drawing.theme import amount_ramp, plotly_scale, theme
from analysis.pruning_effects.eviction.overlap import survival

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from analysis.pruning_effects.eviction.results import Sweep

MAX_COLUMNS = 512
"""Widest map drawn cell by cell; longer contexts are averaged over neighbours, and the axis says so."""


def kept_values(sweep: Sweep, setting: int, kv_head: int | None = None) -> np.ndarray:
    """Share of KV heads that keep each token, float64, (L, n); of one head, 0 or 1.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`.
    setting : int
        Which of its settings.
    kv_head : int, optional
        One KV head; the mean over all by default.

    Raises
    ------
    ValueError
        If there is no such KV head.
    """
    if kv_head is not None and not 0 <= kv_head < sweep.spec.n_kv_heads:
        raise ValueError(f"there is no KV head {kv_head} of {sweep.spec.n_kv_heads}")
    kept = sweep.kept(setting)
    return kept.mean(1) if kv_head is None else kept[:, kv_head].astype(np.float64)


def _heatmap(values: np.ndarray, title: str, hover: str, theme_name: str, **more: Any) -> go.Heatmap:
    import plotly.graph_objects as go

    return go.Heatmap(
        z=values,
        colorscale=plotly_scale(amount_ramp("pruning_effects", theme(theme_name).name)),
        zmin=0,
        zmax=1,
        colorbar={
            "title": {"text": title, "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
            "tickformat": ".0%",
        },
        hovertemplate=hover + "<extra></extra>",
        **more,
    )


def kept_heatmap(
    sweep: Sweep, setting: int, *, kv_head: int | None = None, theme_name: str = "light"
) -> go.Figure:
    """Token by layer: which tokens of the context survive.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`.
    setting : int
        Which of its settings.
    kv_head : int, optional
        One KV head; the share of all KV heads by default.
    theme_name : {"light", "dark"}
        Colours.

    Returns
    -------
    plotly.graph_objects.Figure
        At most :data:`MAX_COLUMNS` columns.
    """
    import plotly.graph_objects as go

    values = kept_values(sweep, setting, kv_head)
    n = values.shape[1]
    step = -(-n // MAX_COLUMNS)
    starts = np.arange(0, n, step)
    pooled = np.add.reduceat(values, starts, axis=1) / np.diff([*starts, n])
    names = np.array([hover_label(sweep.context_tokens[t]) for t in starts], dtype=object)
    what = "KV heads that keep it" if kv_head is None else f"kept by KV head {kv_head}"
    figure = go.Figure(
        _heatmap(
            pooled,
            what,
            f"token %{{x}} “%{{customdata}}”<br>layer %{{y}}<br>{what}: %{{z:.0%}}",
            theme_name,
            x=starts,
            y=np.array(sweep.spec.layers),
            customdata=np.broadcast_to(names, pooled.shape),
        )
    )
    pooling = "" if step == 1 else f" (mean of {step} neighbours)"
    figure.update_layout(
        **plotly_layout(
            theme_name,
            height=360,
            xaxis={"title": {"text": f"token of the context{pooling}"}, "showgrid": False},
            yaxis={"title": {"text": "layer"}, "showgrid": False},
        )
    )
    return figure


def phrase_heatmap(sweep: Sweep, tokens: np.ndarray, kept: float, *, theme_name: str = "light") -> go.Figure:
    """How much of some tokens every method keeps, by layer and KV head.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`.
    tokens : ndarray of int
        Positions in the context, such as a needle's.
    kept : float
        Share kept.
    theme_name : {"light", "dark"}
        Colours.

    Notes
    -----
    Models with more than :data:`MAX_COLUMNS` pairs of layer and KV head are averaged over the KV heads of a layer.
    """
    import plotly.graph_objects as go

    found = survival(sweep, tokens, kept)
    n_layers, n_heads = sweep.spec.n_layers, sweep.spec.n_kv_heads
    each = n_layers * n_heads <= MAX_COLUMNS
    rows = np.stack([values.ravel() if each else values.mean(1) for values in found.values()])
    places = [
        f"layer {layer}, KV head {head}" if each else f"layer {layer}, all KV heads"
        for layer in sweep.spec.layers
        for head in range(n_heads if each else 1)
    ]
    per_layer = n_heads if each else 1
    figure = go.Figure(
        _heatmap(
            rows,
            "share kept",
            "%{y}<br>%{customdata}<br>%{z:.0%} of the tokens kept",
            theme_name,
            x=np.arange(rows.shape[1]),
            y=list(found),
            customdata=np.broadcast_to(np.array(places, dtype=object), rows.shape),
            ygap=2,
        )
    )
    every = -(-n_layers // 12)
    ticks = np.arange(0, n_layers, every)
    figure.update_layout(
        **plotly_layout(
            theme_name,
            height=26 * len(rows) + 90,
            xaxis={
                "title": {
                    "text": f"layer, one cell per KV head ({n_heads})"
                    if each
                    else "layer, mean over KV heads"
                },
                "tickmode": "array",
                "tickvals": ticks * per_layer + (per_layer - 1) / 2,
                "ticktext": [str(sweep.spec.layers[row]) for row in ticks],
                "showgrid": False,
            },
            yaxis={"autorange": "reversed", "showgrid": False, "automargin": True},
        )
    )
    return figure


__all__ = ["MAX_COLUMNS", "kept_heatmap", "kept_values", "phrase_heatmap"]
