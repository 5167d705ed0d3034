"""The pictures of the logit lens. Results in, figures out; no model, no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from analysis.drawing.charts import plotly_layout, styled
from analysis.drawing.labels import hover_label
from analysis.drawing.theme import amount_ramp, plotly_scale, theme
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import altair as alt
    import plotly.graph_objects as go

    from analysis.results.trace import Trace

MAX_COLUMNS = 512
"""Widest heatmap drawn cell by cell; longer texts are pooled, keeping the largest value."""


def lens_heatmap(
    trace: Trace,
    quantity: Literal["entropy", "kl"] = "entropy",
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
    first: int = 0,
    last: int | None = None,
) -> go.Figure:
    """Logit lens, token by layer: entropy, or KL from the output to the layer.

    Parameters
    ----------
    trace : Trace
        A run with ``lens``.
    quantity : {"entropy", "kl"}
        What to colour.
    unit, theme_name
        As elsewhere.
    first, last : int
        Tokens to draw, last excluded. A stretch longer than :data:`MAX_COLUMNS` is
        pooled to the largest value of each column, and the axis title says so.

    Raises
    ------
    ValueError
        If the run was made without a lens, or the stretch is empty or outside the text.
    """
    import plotly.graph_objects as go

    layers, tokens = trace.layers, trace.tokens
    if layers.lens_layers is None or layers.lens_entropy is None or layers.lens_kl is None:
        raise ValueError("the run has no lens: trace(..., lens=True)")
    columns = slice(first, len(tokens) if last is None else last)
    if not 0 <= columns.start < columns.stop <= len(tokens):
        raise ValueError(
            f"tokens {columns.start} to {columns.stop} are not a stretch of {len(tokens)} tokens"
        )
    source = layers.lens_entropy if quantity == "entropy" else layers.lens_kl
    values = from_nats(source[:, columns].astype(np.float32), unit).astype(np.float32)
    step = -(-values.shape[1] // MAX_COLUMNS)
    starts = np.arange(0, values.shape[1], step)
    pooled = np.fmax.reduceat(values, starts, axis=1)
    x = starts + columns.start
    text = None
    if step == 1 and layers.lens_top_ids is not None:
        says = layers.lens_top_ids[:, columns]
        text = [[hover_label(tokens.names[int(i)]) if i >= 0 else "" for i in row] for row in says]
    token_of = [hover_label(tokens.text[t]) for t in x]
    hover = f"token %{{x}} “%{{customdata}}”<br>layer %{{y}}<br>%{{z:.4f}} {unit}"
    figure = go.Figure(
        go.Heatmap(
            z=pooled,
            x=x,
            y=layers.lens_layers,
            customdata=np.broadcast_to(np.array(token_of, dtype=object), pooled.shape),
            text=text,
            colorscale=plotly_scale(amount_ramp("token_entropy", theme(theme_name).name)),
            zmin=0,
            zmax=float(np.nanpercentile(pooled, 99.5)) if np.isfinite(pooled).any() else 1.0,
            colorbar={"title": {"text": unit, "side": "right"}, "thickness": 12, "outlinewidth": 0},
            hovertemplate=hover + ("<br>would say “%{text}”" if text else "") + "<extra></extra>",
            hoverongaps=False,
        )
    )
    pooling = "" if step == 1 else f" (largest of {step} neighbours)"
    figure.update_layout(
        **plotly_layout(
            theme_name,
            height=380,
            xaxis={"title": {"text": f"token{pooling}"}, "showgrid": False},
            yaxis={"title": {"text": "layer"}, "showgrid": False},
        )
    )
    return figure


def lens_curve(trace: Trace, *, unit: Unit = "nats", theme_name: str = "light") -> alt.Chart:
    """Mean logit-lens entropy over layers.

    Raises
    ------
    ValueError
        If the run was made without a lens.
    """
    import altair as alt

    layers = trace.layers
    if layers.lens_layers is None or layers.lens_entropy is None:
        raise ValueError("the run has no lens: trace(..., lens=True)")
    mean = np.nanmean(layers.lens_entropy.astype(float), axis=1)
    frame = pd.DataFrame({"layer": layers.lens_layers, "entropy": from_nats(mean, unit)})
    colour = theme(theme_name).pictures["token_entropy"]
    chart = (
        alt.Chart(frame)
        .mark_line(color=colour, point={"color": colour})
        .encode(
            x=alt.X("layer:Q", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("entropy:Q", title=f"mean lens entropy ({unit})"),
            tooltip=["layer:Q", alt.Tooltip("entropy:Q", format=".4f")],
        )
    )
    return styled(chart.properties(height=220, width="container"), theme_name)


__all__ = ["MAX_COLUMNS", "lens_curve", "lens_heatmap"]
