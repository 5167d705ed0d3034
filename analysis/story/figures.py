"""The small pictures of the overview that share one choice. Results in, figures out; no model, no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.attention_sinks.figures import need_attention
from analysis.attention_sinks.measures import heads_frame
from analysis.drawing.charts import styled
from analysis.drawing.theme import amount_ramp, rgb_to_hex, theme
from analysis.entropy_collapse.layers.figures import curves_frame
from analysis.units import Unit

if TYPE_CHECKING:
    import altair as alt

    from analysis.pruning_effects.eviction.survival import Survival
    from analysis.results.trace import Trace

_LEFT = 34
"""Pixels of the vertical axis: the same in all pictures that stand under each other."""
_TICKS = 6
_TWO_LINES = (
    "length(datum.label) > 11 && indexof(datum.label, ' ') > 0 ? "
    "[slice(datum.label, 0, lastindexof(datum.label, ' ')), slice(datum.label, lastindexof(datum.label, ' ') + 1)] : "
    "datum.label"
)
"""A long name of a method breaks at its last space."""
REFUSED = "╱"
"""Drawn where a method refuses a share."""


def _layers(column: str, n_layers: int, title: str | None) -> Any:
    """The axis that pictures over layers share: cells of layer l from l - 0.5 to l + 0.5, states at l."""
    import altair as alt

    step = max(1, round(n_layers / _TICKS))
    return alt.X(
        f"{column}:Q",
        title=title,
        axis=alt.Axis(
            values=list(range(0, n_layers + 1, step)), grid=False, domain=False, tickSize=0, format="d"
        ),
        scale=alt.Scale(domain=[-0.5, n_layers + 0.5], nice=False),
    )


def _line(layer: int, theme_name: str) -> Any:
    """The chosen layer."""
    import altair as alt

    at = alt.Chart(pd.DataFrame({"layer": [layer]}))
    return at.mark_rule(color=theme(theme_name).ink, strokeWidth=1.3).encode(x="layer:Q")


def sinks_by_layer(
    trace: Trace, layer: int, *, theme_name: str = "light", pick: bool = False
) -> alt.LayerChart:
    """Attention on token 0, one cell per layer and head, with the chosen layer as a line.

    Parameters
    ----------
    trace : Trace
        A run with attention.
    layer : int
        The chosen layer.
    theme_name : {"light", "dark"}
        Colours.
    pick : bool
        Add a click selection called ``pick`` on layer and head.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    colours, n_layers = theme(theme_name), trace.spec.n_layers
    frame = heads_frame(need_attention(trace))[["layer", "head", "sink_mass"]]
    frame = frame.assign(left=frame["layer"] - 0.5, right=frame["layer"] + 0.5)
    ramp = amount_ramp("attention_sinks", colours.name)
    heads = sorted(set(frame["head"]))
    cells = (
        alt.Chart(frame)
        .mark_rect(stroke=colours.panel, strokeWidth=1)
        .encode(
            x=_layers("left", n_layers, None),
            x2="right:Q",
            y=alt.Y(
                "head:O",
                title="head",
                axis=alt.Axis(
                    minExtent=_LEFT, maxExtent=_LEFT, domain=False, tickSize=0,
                    values=heads[:: max(1, len(heads) // 2)],
                ),
            ),
            color=alt.Color(
                "sink_mass:Q",
                scale=alt.Scale(
                    domain=[0, 1], range=[rgb_to_hex(ramp[i]) for i in (0, 64, 128, 191, 255)], interpolate="rgb"
                ),
                legend=None,
            ),
            tooltip=["layer:Q", "head:O", alt.Tooltip("sink_mass:Q", title="attention on token 0", format=".3f")],
        )
    )  # fmt: skip
    if pick:
        cells = cells.add_params(alt.selection_point(name="pick", fields=["layer", "head"], on="click"))
    height = max(130, min(16 * len(heads) + 20, 200))
    return styled(
        alt.layer(cells, _line(layer, theme_name)).properties(width="container", height=height), theme_name
    )


def entropy_by_layer(
    trace: Trace, layer: int, *, unit: Unit = "nats", theme_name: str = "light", pick: bool = False
) -> alt.LayerChart:
    """Matrix entropy of the states over layers, dashed without token 0, with the chosen layer as a line.

    Parameters
    ----------
    trace : Trace
        A run with spectra.
    layer : int
        The chosen layer, 0 to L.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    pick : bool
        Add a click selection called ``pick`` on the layers.
    """
    import altair as alt

    colours = theme(theme_name)
    accent = colours.pictures["entropy_collapse"]
    frame = curves_frame({"": trace}, unit=unit)
    y = alt.Y(
        "value:Q",
        title=unit,
        scale=alt.Scale(zero=False),
        axis=alt.Axis(minExtent=_LEFT, maxExtent=_LEFT, domain=False, tickSize=0, tickCount=4),
    )
    base = alt.Chart(frame).encode(x=_layers("layer", trace.spec.n_layers, "layer"), y=y)
    lines = base.mark_line(color=accent, strokeWidth=2).encode(
        strokeDash=alt.StrokeDash(
            "tokens:N",
            scale=alt.Scale(domain=["all tokens", "without token 0"], range=[[1, 0], [4, 3]]),
            legend=None,
        )
    )
    points = base.mark_circle(size=60, opacity=0, color=accent).encode(
        tooltip=["tokens:N", "layer:Q", alt.Tooltip("value:Q", title=f"matrix entropy, {unit}", format=".3f")]
    )
    chosen = (
        base.transform_filter(f"datum.layer == {int(layer)} && datum.tokens == 'all tokens'")
        .mark_circle(size=60, color=accent, opacity=1, stroke=colours.panel, strokeWidth=1.5)
        .encode(tooltip=["layer:Q", alt.Tooltip("value:Q", format=".3f")])
    )
    if pick:
        nearest = alt.selection_point(name="pick", fields=["layer"], nearest=True, on="click", clear=False)
        points = points.add_params(nearest)
    return styled(
        alt.layer(_line(layer, theme_name), lines, chosen, points).properties(width="container", height=190),
        theme_name,
    )


def who_keeps_frame(survived: Survival, token: int) -> pd.DataFrame:
    """One row per method and share: ``method``, ``kept`` (%), ``survived`` (NaN where refused), ``from`` (bool)."""
    below = survived.lost_below(token)
    m, s = survived.survived.shape[:2]
    return pd.DataFrame(
        {
            "method": np.repeat(survived.labels, s),
            "kept": np.tile(np.rint(100 * survived.kept).astype(int), m),
            "survived": survived.survived[:, :, token].astype(float).ravel(),
            "from": (survived.kept[None] == below[:, None]).ravel(),
        }
    )


def who_keeps(survived: Survival, token: int, *, theme_name: str = "light") -> alt.LayerChart:
    """Methods by share kept: in how many caches a token survives, a line where half of them begin to hold it.

    Parameters
    ----------
    survived : Survival
        From :func:`analysis.pruning_effects.eviction.survival.survival`.
    token : int
        A token of the context.
    theme_name : {"light", "dark"}
        Colours.
    """
    import altair as alt

    colours = theme(theme_name)
    ramp = amount_ramp("pruning_effects", colours.name)
    frame = who_keeps_frame(survived, token)
    x = alt.X(
        "kept:O",
        title="% of the context kept",
        axis=alt.Axis(labelAngle=0, labelOverlap="parity", domain=False, tickSize=0),
        scale=alt.Scale(paddingInner=0.06, paddingOuter=0),
    )
    y = alt.Y(
        "method:N",
        title=None,
        sort=list(survived.labels),
        axis=alt.Axis(
            domain=False,
            tickSize=0,
            labelColor=colours.ink,
            labelExpr=_TWO_LINES,
        ),
        scale=alt.Scale(paddingInner=0.16),
    )
    tooltip = ["method:N", alt.Tooltip("kept:O", title="% kept"), alt.Tooltip("survived:Q", format=".0%")]
    base = alt.Chart(frame).encode(x=x, y=y)
    cells = base.transform_filter("isValid(datum.survived)").mark_rect(
        stroke=colours.line, strokeWidth=0.7, cornerRadius=2
    )
    cells = cells.encode(
        color=alt.Color(
            "survived:Q",
            scale=alt.Scale(
                domain=[0, 1], range=[rgb_to_hex(ramp[i]) for i in (0, 64, 128, 191, 255)], interpolate="rgb"
            ),
            legend=None,
        ),
        tooltip=tooltip,
    )
    refused = (
        base.transform_filter("!isValid(datum.survived)")
        .transform_calculate(reason="'refused by the method'")
        .mark_text(text=REFUSED * 2, color=colours.muted)
        .encode(tooltip=["method:N", "kept:O", "reason:N"])
    )
    rows = len(survived.labels)
    begins = (
        base.transform_filter("datum.from")
        .mark_tick(orient="vertical", color=colours.ink, thickness=1.8, size=34)
        .encode(x=alt.X("kept:O", bandPosition=0))
    )
    chart = alt.layer(cells, refused, begins).properties(width="container", height=40 * rows + 40)
    return styled(chart, theme_name)
