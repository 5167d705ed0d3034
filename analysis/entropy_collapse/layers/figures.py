"""Pictures of entropy collapse over layers. Results in, figures out; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.decades import decades
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.entropy_collapse.layers.curves import (
    Quantity,
    Scale,
    layer_curve,
    spectra_of,
)
from analysis.results.collapse import LEAST_DROP, CollapseLayer
from analysis.results.spectra import FIRST_FITTED, LAST_FITTED, alpha_req
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    from analysis.results.trace import Trace

CURVE_COLOURS = tuple(colour for colour in OKABE_ITO if colour != "#009E73")
"""Of curves beside the first; without the green that is too near this picture's teal."""

_TOKENS = ("all tokens", "without token 0")
"""Of which tokens a curve is: solid and dashed."""

_BITS: tuple[Quantity, ...] = ("matrix entropy", "lens entropy")
"""Quantities in nats or bits."""


def axis_title(quantity: Quantity, scale: Scale = "raw", unit: Unit = "nats", order: float = 1.0) -> str:
    """Name of a quantity over layers with its unit."""
    if quantity == "matrix entropy":
        of = "" if order == 1 else f", order {order:g}"
        return f"matrix entropy{of}, {unit if scale == 'raw' else scale.replace('per', 'share of')}"
    names: dict[Quantity, str] = {
        "rank, eigenvalues": "effective rank from eigenvalues, directions",
        "rank, singular values": "effective rank from singular values, directions",
        "alpha-ReQ": "alpha-ReQ, exponent",
        "curvature": "curvature, radians",
        "lens entropy": f"logit-lens entropy, {unit}",
    }
    return names[quantity]


def curves_frame(
    traces: Mapping[str, Trace],
    quantity: Quantity = "matrix entropy",
    *,
    kind: str = "states",
    order: float = 1.0,
    scale: Scale = "raw",
    unit: Unit = "nats",
) -> pd.DataFrame:
    """Curves of several runs, with token 0 and without it.

    Returns
    -------
    pandas.DataFrame
        ``text``, ``tokens`` ("all tokens" or "without token 0"), ``layer``, ``value`` and for
        alpha-ReQ ``r_squared``.
    """
    parts = []
    for name, trace in traces.items():
        for first, label in zip((True, False), _TOKENS, strict=True):
            curve = layer_curve(trace, quantity, kind=kind, order=order, scale=scale, first_token=first)
            if quantity in _BITS and scale == "raw":
                curve["value"] = from_nats(curve["value"].to_numpy(), unit)
            parts.append(curve.assign(text=name, tokens=label))
    frame = pd.concat(parts, ignore_index=True)
    return frame[["text", "tokens", *(c for c in frame.columns if c not in ("text", "tokens"))]]


def matrix_entropy(
    traces: Trace | Mapping[str, Trace],
    quantity: Quantity = "matrix entropy",
    *,
    kind: str = "states",
    order: float = 1.0,
    scale: Scale = "raw",
    unit: Unit = "nats",
    theme_name: str = "light",
    collapse: int | None = None,
    selected: int | None = None,
    pick: bool = False,
) -> alt.LayerChart:
    """A quantity over layers, solid with all tokens and dashed without token 0.

    Parameters
    ----------
    traces : Trace or mapping of str to Trace
        One run, or several with their names.
    collapse : int, optional
        Layer to mark as the collapse layer.
    selected : int, optional
        Layer to mark as chosen.
    pick : bool, default False
        Add a click selection called ``pick`` on the layers.
    """
    named = dict(traces) if isinstance(traces, Mapping) else {"this text": traces}
    frame = curves_frame(named, quantity, kind=kind, order=order, scale=scale, unit=unit)
    colours, title = theme(theme_name), axis_title(quantity, scale, unit, order)
    palette = [colours.pictures["entropy_collapse"], *CURVE_COLOURS]
    x = layer_axis(f"layer ({_AXIS[kind]})")
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False))
    colour: Any = alt.value(palette[0])
    if len(named) > 1:
        scale_of_texts = alt.Scale(domain=list(named), range=palette[: len(named)])
        colour = alt.Color("text:N", title=None, scale=scale_of_texts, legend=alt.Legend(columns=4))
    fit = [alt.Tooltip("r_squared:Q", title="R²", format=".3f")] if "r_squared" in frame else []
    tooltip = ["text:N", "tokens:N", "layer:Q", alt.Tooltip("value:Q", title=title, format=".4f"), *fit]
    base = alt.Chart(frame).encode(x=x, y=y, color=colour)
    line = base.mark_line().encode(strokeDash=_dash(legend=len(named) == 1))
    points = base.mark_circle(size=26, opacity=1).encode(tooltip=tooltip)
    layers: list[Any] = [line, points]
    for layer, tint, label in (
        (collapse, colours.positive, "collapse layer"),
        (selected, colours.muted, "chosen"),
    ):
        if layer is not None:
            layers.insert(0, _mark_layer(layer, tint, label))
    if pick:
        point = alt.selection_point(name="pick", fields=["layer"], nearest=True, on="click", clear=False)
        layers.append(
            alt.Chart(frame).mark_point(opacity=0, size=200).encode(x=x, y="value:Q").add_params(point)
        )
    return styled(alt.layer(*layers).properties(width="container", height=300), theme_name)


_AXIS = {
    "states": "0 enters block 1, l leaves block l",
    "query": "queries of block l",
    "key": "keys of block l",
    "value": "values of block l",
}


def layer_axis(title: str) -> alt.X:
    """Layers from left to right, a tick at whole ones only."""
    axis = alt.Axis(tickMinStep=1, grid=False)
    return alt.X("layer:Q", title=title, axis=axis, scale=alt.Scale(nice=False))


def _dash(*, legend: bool = True) -> alt.StrokeDash:
    scale = alt.Scale(domain=list(_TOKENS), range=[[1, 0], [4, 3]])
    return alt.StrokeDash("tokens:N", title=None, scale=scale, legend=alt.Legend() if legend else None)


def _mark_layer(layer: int, colour: str, label: str) -> Any:
    at = alt.Chart(pd.DataFrame({"layer": [layer], "label": [f"{label} {layer}"]}))
    rule = at.mark_rule(color=colour, strokeWidth=1.5).encode(x="layer:Q")
    text = at.mark_text(color=colour, align="left", dx=-2, dy=-2, baseline="bottom").encode(
        x="layer:Q", y=alt.value(0), text="label:N"
    )
    return rule + text


def spectrum_frame(trace: Trace, layer: int, *, kind: str = "states") -> pd.DataFrame:
    """Eigenvalue shares of one layer: ``tokens``, ``rank`` (from 1), ``share``."""
    shares = spectra_of(trace, kind)[:, layer - (kind != "states")]
    ranks = np.arange(1, shares.shape[1] + 1)
    frame = pd.concat(
        pd.DataFrame({"tokens": label, "rank": ranks, "share": row})
        for label, row in zip(_TOKENS, shares, strict=True)
    )
    return frame[frame["share"] > np.finfo(float).eps].reset_index(drop=True)


def spectrum(trace: Trace, layer: int, *, kind: str = "states", theme_name: str = "light") -> alt.LayerChart:
    """Eigenvalue spectrum of one layer on two logarithmic axes, with the power law where it can be fitted."""
    colours = theme(theme_name)
    accent = colours.pictures["entropy_collapse"]
    frame = spectrum_frame(trace, layer, kind=kind)
    x = alt.X(
        "rank:Q", title="eigenvalue, largest first", scale=alt.Scale(type="log"), axis=alt.Axis(grid=False)
    )
    ticks = decades(frame["share"].min(), frame["share"].max())
    y = alt.Y("share:Q", title="share of the variance", scale=alt.Scale(type="log"), axis=alt.Axis(**ticks))
    lines = (
        alt.Chart(frame)
        .mark_line()
        .encode(
            x=x,
            y=y,
            color=alt.value(accent),
            strokeDash=_dash(),
            tooltip=["tokens:N", "rank:Q", alt.Tooltip("share:Q", format=".3p")],
        )
    )
    layers = [lines]
    shares = spectra_of(trace, kind)[0, layer - (kind != "states")]
    fit = alpha_req(shares)
    if fit is not None:
        ranks = np.arange(FIRST_FITTED, LAST_FITTED + 1)
        weight = 1 / ranks
        level = np.average(
            np.log(shares[FIRST_FITTED - 1 : LAST_FITTED]) + fit.alpha * np.log(ranks), weights=weight
        )
        law = pd.DataFrame({"rank": ranks, "share": np.exp(level - fit.alpha * np.log(ranks))})
        layers.append(alt.Chart(law).mark_line(color=colours.positive, strokeWidth=2.5).encode(x=x, y=y))
    return styled(alt.layer(*layers).properties(width="container", height=250), theme_name)


def layer_drops(found: CollapseLayer, *, theme_name: str = "light") -> alt.LayerChart:
    """Evidence for a collapse layer: every text's drop into every layer, and the median."""
    colours = theme(theme_name)
    accent = colours.pictures["entropy_collapse"]
    frame = found.to_frame()
    median = pd.DataFrame({"layer": np.arange(1, len(found.median_drop) + 1), "drop": found.median_drop})
    x = layer_axis("into layer")
    y = alt.Y("drop:Q", title="matrix entropy lost", axis=alt.Axis(format=".0%"))
    bars = (
        alt.Chart(median)
        .mark_bar(color=accent, opacity=0.45, size=9)
        .encode(x=x, y=y, tooltip=["layer:Q", alt.Tooltip("drop:Q", title="median", format=".1%")])
    )
    points = (
        alt.Chart(frame)
        .mark_point(color=accent, filled=True, size=16, opacity=0.8)
        .encode(x=x, y=y, tooltip=["text:N", "layer:Q", alt.Tooltip("drop:Q", format=".1%")])
    )
    needed = (
        alt.Chart(pd.DataFrame({"drop": [LEAST_DROP]}))
        .mark_rule(color=colours.muted, strokeDash=[4, 3])
        .encode(y="drop:Q")
    )
    layers = [bars, points, needed]
    if found.layer is not None:
        layers.insert(0, _mark_layer(found.layer, colours.positive, "collapse layer"))
    return styled(alt.layer(*layers).properties(width="container", height=220), theme_name)
