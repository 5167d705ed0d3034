"""The pictures of attention sinks. Results in, figures out; no model, no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from analysis.attention_sinks.curve_figures import entropy_against_position, need_attention, triad_chart
from analysis.attention_sinks.measures import COLLAPSED, OVERLOADED, heads_frame
from analysis.attention_sinks.summary import mean_received
from analysis.drawing.charts import alt, styled
from analysis.drawing.numbers import short
from analysis.drawing.strip import MARKED, SPECIAL, Strip
from analysis.drawing.strip_figure import StripFigure, strip_figure
from analysis.drawing.theme import amount_ramp, rgb_to_hex, signed_ramp, theme

if TYPE_CHECKING:
    from analysis.results.trace import Trace

HeadQuantity = Literal[
    "sink_mass", "times_uniform", "strongest", "entropy", "distance", "learned_sink", "gate"
]

HEAD_QUANTITIES: dict[HeadQuantity, tuple[str, str]] = {
    "sink_mass": ("sink_mass", "attention on token 0"),
    "times_uniform": ("times_uniform", "times uniform attention"),
    "strongest": ("strongest_received", "attention on the strongest token"),
    "entropy": ("entropy_normalised", "row entropy / ln of visible tokens"),
    "distance": ("mean_distance_tokens", "mean distance, tokens"),
    "learned_sink": ("learned_sink", "weight of the learned sink"),
    "gate": ("output_passed_on", "share of the output passed on"),
}
"""Column of the heads table and axis title of each quantity of the layer by head map."""


def _ramp_range(ramp: np.ndarray) -> list[str]:
    return [rgb_to_hex(ramp[i]) for i in np.linspace(0, len(ramp) - 1, 9).astype(int)]


def head_map(
    trace: Trace,
    quantity: HeadQuantity = "sink_mass",
    *,
    theme_name: str = "light",
    high: float | None = None,
) -> alt.Chart:
    """One cell per layer and head.

    Parameters
    ----------
    trace : Trace
        A run with attention.
    quantity : str
        One of :data:`HEAD_QUANTITIES`.
    theme_name : {"light", "dark"}
        Colours.
    high : float, optional
        Value of the last colour; 1 for shares, the largest value otherwise.
    """
    alt.data_transformers.disable_max_rows()
    column, title = HEAD_QUANTITIES[quantity]
    frame = heads_frame(need_attention(trace))
    if column not in frame:
        raise ValueError(f"this model has no {column.replace('_', ' ')}")
    top = high or last_value(frame, quantity)
    return _cells(
        frame,
        column,
        title,
        amount_ramp("attention_sinks", theme(theme_name).name),
        (0.0, top),
        trace.spec.n_layers,
        theme_name,
    )


def last_value(frame: pd.DataFrame, quantity: HeadQuantity) -> float:
    """Value of the last colour for a quantity of :func:`~.measures.heads_frame`: 1 for shares, else the largest."""
    least = 1.0 if quantity in ("sink_mass", "strongest", "entropy", "learned_sink", "gate") else 1e-6
    return max(float(frame[HEAD_QUANTITIES[quantity][0]].max()), least)  # some gates pass on more than all


def _cells(
    frame: pd.DataFrame,
    column: str,
    title: str,
    ramp: np.ndarray,
    ends: tuple[float, float],
    n_layers: int,
    theme_name: str,
) -> Any:
    """One cell per head; layers of the model without attention are struck through."""
    colours = theme(theme_name)
    pick = alt.selection_point(name="pick", fields=["layer", "head"], on="click", empty=False)
    layers = alt.X(
        "layer:O",
        title="layer",
        axis=alt.Axis(labelAngle=0, labelOverlap=True),
        scale=alt.Scale(domain=list(range(n_layers))),
    )
    tooltips = [alt.Tooltip("layer:O"), alt.Tooltip("head:O")]
    for name in frame.columns[2:]:
        numeric = pd.api.types.is_float_dtype(frame[name])
        tooltips.append(alt.Tooltip(f"{name}:{'Q' if numeric else 'N'}", format=".4g" if numeric else ""))
    chart = (
        alt.Chart(frame)
        .mark_rect(strokeWidth=2)
        .encode(
            x=layers,
            y=alt.Y("head:O", title="head"),
            color=alt.Color(
                f"{column}:Q",
                title=title,
                scale=alt.Scale(domain=list(ends), range=_ramp_range(ramp), clamp=True, interpolate="rgb"),
                legend=alt.Legend(orient="top", gradientLength=220),
            ),
            stroke=alt.condition(pick, alt.value(colours.ink), alt.value(colours.ground)),
            tooltip=tooltips,
        )
        .add_params(pick)
    )
    missing = sorted(set(range(n_layers)) - set(frame["layer"]))
    if missing:
        chart = alt.layer(chart, _struck_through(missing, sorted(set(frame["head"])), layers, theme_name))
    height = 22 * (int(frame["head"].max()) + 1) + 40
    return styled(chart.properties(width="container", height=max(160, min(height, 560))), theme_name)


def _struck_through(missing: list[int], heads: list[int], layers: Any, theme_name: str) -> Any:
    """Cells of layers that have no attention."""
    rows = [(layer, head, "no softmax attention") for layer in missing for head in heads]
    frame = pd.DataFrame(rows, columns=["layer", "head", "not available"])
    return (
        alt.Chart(frame)
        .mark_text(text="╱", color=theme(theme_name).muted, opacity=0.6)
        .encode(x=layers, y=alt.Y("head:O"), tooltip=["layer:O", "not available:N"])
    )


def head_difference(
    first: Trace, second: Trace, names: tuple[str, str], *, theme_name: str = "light"
) -> alt.Chart:
    """Sink mass of one run minus another's, one cell per layer and head.

    Raises
    ------
    ValueError
        If the runs come from models of different shapes.
    """
    sink_difference(first, second)
    frame = difference_frame(first, second, names)
    top = max(float(frame["difference"].abs().max()), 1e-6)
    ramp = signed_ramp(theme(theme_name).name)
    title = f"attention on token 0: {names[0]} minus {names[1]}"
    return _cells(frame, "difference", title, ramp, (-top, top), first.spec.n_layers, theme_name)


def sink_difference(first: Trace, second: Trace) -> np.ndarray:
    """Sink mass of one run minus another's, float32, (K, H).

    Raises
    ------
    ValueError
        If the runs come from models of different shapes.
    """
    a, b = need_attention(first), need_attention(second)
    if a.sink_mass.shape != b.sink_mass.shape or not np.array_equal(a.layer_numbers, b.layer_numbers):
        raise ValueError(f"heads {a.sink_mass.shape} and {b.sink_mass.shape} cannot be compared")
    return a.sink_mass - b.sink_mass


def difference_frame(first: Trace, second: Trace, names: tuple[str, str]) -> pd.DataFrame:
    """Sink mass of two runs side by side, one row per layer and head."""
    a, b = heads_frame(need_attention(first)), heads_frame(need_attention(second))
    frame = a[["layer", "head"]].copy()
    frame[f"sink_mass {names[0]}"] = a["sink_mass"]
    frame[f"sink_mass {names[1]}"] = b["sink_mass"]
    frame["difference"] = a["sink_mass"] - b["sink_mass"]
    return frame


def received_strip(
    trace: Trace,
    *,
    layer: int | None = None,
    head: int | None = None,
) -> Strip:
    """Data of a strip coloured by the attention each token receives.

    Parameters
    ----------
    trace : Trace
        A run with attention.
    layer, head : int, optional
        One layer, or one head of it; the mean over all heads by default.

    Raises
    ------
    ValueError
        If the run did not measure attention, or the layer has none.
    """
    attention = need_attention(trace)
    values = mean_received(attention, layer, head)
    where = "all heads" if layer is None else f"layer {layer}" + ("" if head is None else f", head {head}")
    others = values[1:] if len(values) > 1 else values
    high = max(float(np.percentile(others, 99)), 1e-6)
    flags = trace.tokens.is_special.astype(np.uint8) * SPECIAL + (values > high).astype(np.uint8) * MARKED
    return Strip(
        title=f"Attention received, {where}",
        unit="of a query's attention",
        values=values,
        cell=trace.tokens.cell,
        cell_text=trace.tokens.cell_text,
        flags=flags,
        low=0.0,
        high=high,
        light=amount_ramp("attention_sinks", "light"),
        dark=amount_ramp("attention_sinks", "dark"),
        marked=f"more than {short(high)}" if (values > high).any() else "",
    )


def received(
    trace: Trace, *, layer: int | None = None, head: int | None = None, theme_name: str = "light"
) -> StripFigure:
    """The text coloured by attention received, as HTML for a notebook or a file."""
    strip = received_strip(trace, layer=layer, head=head)
    return strip_figure(strip, theme_name=theme_name, caption=trace.spec.subtitle)


__all__ = [
    "COLLAPSED",
    "HEAD_QUANTITIES",
    "OVERLOADED",
    "difference_frame",
    "entropy_against_position",
    "head_difference",
    "head_map",
    "need_attention",
    "received",
    "received_strip",
    "triad_chart",
]
