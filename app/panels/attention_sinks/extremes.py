"""Attention sinks: massive activations and the drain after the output projection, on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from app.panels.attention_sinks import help as explained
from app.widgets.on_demand import Wanted, on_demand
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.attention_sinks.massive import Extremes
    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace
    from app.compute.job import Job


def massive_activations(trace: Trace) -> None:
    """Largest values of the residual stream, layer by layer."""

    def compute(model: LanguageModel, job: Job) -> Extremes:
        from analysis.attention_sinks.extremes import extreme_tokens

        return extreme_tokens(model, trace, on_progress=job.report)

    on_demand(
        "extremes",
        "Massive activations",
        "The largest single values of the states, and how small the sink's projected values are.",
        "Find massive activations",
        lambda _request, _left: Wanted(compute, lambda extremes: _draw(trace, extremes)),
        why="They are read from the model's states; a file holds none.",
        widths=[3, 1],
        height=300,
        in_one_frame=True,
    )


def _draw(trace: Trace, extremes: Extremes) -> None:
    from analysis.attention_sinks.massive import output_drain_range

    layer, place, times = extremes.largest
    token = int(extremes.token[layer, place])
    st.caption(
        f"Largest: **{significant(float(extremes.value[layer, place]))}** at layer {layer}, token {count(token)} "
        f"“{plain(visible(trace.tokens.text[token]))}”, dimension {int(extremes.dimension[layer, place])}: "
        f"**{significant(times)}** times the layer's median."
    )
    if extremes.value_out_norm is None:
        st.caption(plain(f"Drain after the output projection: not available. {extremes.unavailable}"))
    else:
        least, most = output_drain_range(extremes)
        st.caption(
            f"Token 0's values after the output projection: median over heads from "
            f"**{significant(least)}** to **{significant(most)}** times the others'."
        )
    frame = extremes.to_frame()
    st.dataframe(frame, hide_index=True, height=300, key="extremes_frame")
    st.download_button(
        "CSV", lambda: frame.to_csv(index=False, lineterminator="\r\n").encode(), "massive_activations.csv", "text/csv",
        key="extremes_csv", on_click="ignore", type="tertiary",
    )  # fmt: skip
    with st.popover("How to read this", type="tertiary"):
        st.markdown(explained.MASSIVE)
