"""Curves of attention sinks: the triad over layers, row entropy over positions. Results in, figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.attention_sinks.measures import entropy_by_position, triad
from analysis.drawing.charts import MAX_POINTS, alt, styled
from analysis.drawing.theme import theme
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    from analysis.results.attention import AttentionTrace
    from analysis.results.trace import Trace


def need_attention(trace: Trace) -> AttentionTrace:
    """The run's attention.

    Raises
    ------
    ValueError
        If the run did not measure it.
    """
    if trace.attention is None:
        raise ValueError("the run did not measure attention")
    return trace.attention


_TRIAD_WIDTH = 640
"""Pixels: charts one above the other cannot fill their container."""


def triad_panels(trace: Trace, position: int = 0, *, theme_name: str = "light") -> list[Any]:
    """Sink strength, value drain and state norm of one token over layers, a chart each."""
    attention = need_attention(trace)
    values = triad(attention, trace.layers.residual_norm, position)
    token = f"token {position}"

    def spread(heads: np.ndarray) -> pd.DataFrame:
        rows = {
            "layer": attention.layer_numbers,
            "value": heads.mean(1),
            "low": heads.min(1),
            "high": heads.max(1),
        }
        return pd.DataFrame(rows).assign(who=token)

    norms = {
        token: values.residual_token,
        "others, median": values.residual_median,
        "others, largest": values.residual_max,
    }
    residual = pd.concat(
        pd.DataFrame({"layer": np.arange(len(norm)), "value": np.maximum(norm, 1e-9), "who": who})
        for who, norm in norms.items()
    )
    look = list(norms), trace.spec.n_layers, theme_name
    return [
        _triad_panel(spread(values.sink), "attention received", *look, band=True),
        _triad_panel(spread(values.value_drain), "value norm / others'", *look, band=True),
        _triad_panel(residual, "state norm (log scale)", *look, band=False),
    ]


def _triad_panel(
    frame: pd.DataFrame, title: str, who: list[str], n_layers: int, theme_name: str, *, band: bool
) -> Any:
    colours = theme(theme_name)
    accent = colours.pictures["attention_sinks"]
    shades = [accent, colours.muted, colours.pictures["entropy_collapse"]]
    scale = alt.Scale(zero=True) if band else alt.Scale(type="log")
    x = alt.X(
        "layer:Q",
        title="layer",
        axis=alt.Axis(tickMinStep=1, grid=False, format="d"),
        scale=alt.Scale(domain=[0, n_layers], nice=False),
    )
    base = alt.Chart(frame)
    line = base.mark_line(point={"size": 22}).encode(
        x=x,
        y=alt.Y("value:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5)),
        color=alt.Color(
            "who:N",
            scale=alt.Scale(domain=who, range=shades),
            title=None,
            legend=None if band else alt.Legend(orient="top"),
        ),
        tooltip=["layer:Q", "who:N", alt.Tooltip("value:Q", format=".4g")],
    )
    if band:
        area = base.mark_area(opacity=0.18, color=accent).encode(
            x=x, y=alt.Y("low:Q", scale=scale, title=title), y2="high:Q"
        )
        return alt.layer(area, line).properties(width="container", height=190)
    return line.properties(width="container", height=230)


def triad_chart(trace: Trace, position: int = 0, *, theme_name: str = "light") -> alt.VConcatChart:
    """The three panels of the triad in one figure."""
    panels = triad_panels(trace, position, theme_name=theme_name)
    return styled(alt.vconcat(*(panel.properties(width=_TRIAD_WIDTH) for panel in panels)), theme_name)


def entropy_against_position(
    trace: Trace, *, unit: Unit = "nats", theme_name: str = "light"
) -> alt.LayerChart:
    """Mean row entropy against position, with ln N and the difference.

    Where the gap to ln N stays flat, attention dilutes as the text grows; where it widens, it sharpens.
    """
    colours = theme(theme_name)
    frame = entropy_by_position(need_attention(trace))
    step = -(-len(frame) // MAX_POINTS)
    frame = frame.groupby(np.arange(len(frame)) // step).mean()
    tidy = pd.concat(
        [
            pd.DataFrame(
                {
                    "position": frame["position"],
                    "value": from_nats(frame[column].to_numpy(), unit),
                    "series": name,
                }
            )
            for column, name in (
                ("uniform", "uniform: ln N"),
                ("entropy", "mean row entropy"),
                ("below_uniform", "ln N minus entropy"),
            )
        ]
    )
    names = ["mean row entropy", "uniform: ln N", "ln N minus entropy"]
    chart = (
        alt.Chart(tidy)
        .mark_line()
        .encode(
            x=alt.X(
                "position:Q",
                title="token" if step == 1 else f"token, mean of {step}",
                axis=alt.Axis(grid=False),
            ),
            y=alt.Y("value:Q", title=unit),
            color=alt.Color(
                "series:N",
                title=None,
                scale=alt.Scale(
                    domain=names, range=[colours.pictures["attention_sinks"], colours.muted, "#D55E00"]
                ),
            ),
            strokeDash=alt.StrokeDash(
                "series:N", title=None, scale=alt.Scale(domain=names, range=[[1, 0], [4, 3], [2, 2]])
            ),
            tooltip=["position:Q", "series:N", alt.Tooltip("value:Q", format=".4f")],
        )
    )
    return styled(chart.properties(width="container", height=220), theme_name)
