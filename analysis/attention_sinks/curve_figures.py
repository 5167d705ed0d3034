"""Curves of attention sinks: the triad over layers, row entropy over positions. Results in, figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.attention_sinks.measures import entropy_by_position, triad
from analysis.drawing.charts import MAX_POINTS, styled
from analysis.drawing.theme import theme
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import altair as alt

    from analysis.attention_sinks.results import AttentionTrace
    from analysis.forward.results import Trace


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


def triad_chart(trace: Trace, position: int = 0, *, theme_name: str = "light") -> alt.VConcatChart:
    """Sink strength, value drain and residual norm of one token over layers."""
    import altair as alt

    colours = theme(theme_name)
    values = triad(need_attention(trace), trace.layers.residual_norm, position)
    n_layers = len(values.sink)
    token, others = f"token {position}", "others"
    colour = alt.Scale(domain=[token, f"{others}, median", f"{others}, largest"],
                       range=[colours.pictures["attention_sinks"], colours.muted, colours.pictures["entropy_collapse"]])  # fmt: skip

    def panel(frame: pd.DataFrame, title: str, log: bool, band: bool) -> Any:
        x = alt.X("layer:Q", title="layer", axis=alt.Axis(tickMinStep=1, grid=False))
        scale = alt.Scale(type="log") if log else alt.Scale(zero=True)
        base = alt.Chart(frame).properties(width="container", height=110)
        line = base.mark_line(point={"size": 22}).encode(
            x=x,
            y=alt.Y("value:Q", title=title, scale=scale),
            color=alt.Color("who:N", scale=colour, title=None),
            tooltip=["layer:Q", "who:N", alt.Tooltip("value:Q", format=".4g")],
        )
        if not band:
            return line
        area = base.mark_area(opacity=0.18, color=colours.pictures["attention_sinks"]).encode(
            x=x, y=alt.Y("low:Q", scale=scale, title=title), y2="high:Q"
        )
        return alt.layer(area, line)

    blocks = np.arange(n_layers)
    sink = pd.DataFrame(
        {
            "layer": blocks,
            "value": values.sink.mean(1),
            "low": values.sink.min(1),
            "high": values.sink.max(1),
            "who": token,
        }
    )
    drain = pd.DataFrame(
        {
            "layer": blocks,
            "value": values.value_drain.mean(1),
            "low": values.value_drain.min(1),
            "high": values.value_drain.max(1),
            "who": token,
        }
    )
    residual = pd.concat(
        [
            pd.DataFrame({"layer": np.arange(n_layers + 1), "value": np.maximum(series, 1e-9), "who": who})
            for who, series in (
                (token, values.residual_token),
                (f"{others}, median", values.residual_median),
                (f"{others}, largest", values.residual_max),
            )
        ]
    )
    return styled(
        alt.vconcat(
            panel(sink, "attention received", False, True),
            panel(drain, "value norm / others'", False, True),
            panel(residual, "state norm", True, False),
        ),
        theme_name,
    )


def entropy_against_position(
    trace: Trace, *, unit: Unit = "nats", theme_name: str = "light"
) -> alt.LayerChart:
    """Mean row entropy against position, with ln N and the difference.

    Where the gap to ln N stays flat, attention dilutes as the text grows; where it widens, it sharpens.
    """
    import altair as alt

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
