"""Attention sinks: received attention on the text, the triad over layers, dilution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from analysis.attention_sinks import figures, measures
from analysis.attention_sinks.curve_figures import entropy_against_position, triad_chart, triad_panels
from analysis.drawing.charts import styled
from analysis.drawing.numbers import count, significant
from analysis.units import from_nats
from app import state
from app.panels.attention_sinks import help as explained
from app.panels.attention_sinks.heads import chosen_head
from app.widgets.figure_card import altair_card, figure_card, notebook_code
from app.widgets.layout import side_by_side
from app.widgets.plain import plain, visible
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    from analysis.results.trace import Trace

_SCOPES = ("all heads", "chosen layer", "chosen head")
_LISTED = 12


@st.fragment
def received(trace: Trace) -> None:
    """The text coloured by attention received; a click lists the heads that feed on a token."""
    attention = figures.need_attention(trace)
    layer, head = chosen_head(attention)
    left, right = side_by_side("received", [1.9, 1])
    with left:
        scope = st.segmented_control(
            "From", _SCOPES, default=_SCOPES[0], required=True, key=state.RECEIVED, bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        at_layer = layer if scope != "all heads" else None
        at_head = head if scope == "chosen head" else None
        strip = figures.received_strip(trace, layer=at_layer, head=at_head)
        frame = pd.DataFrame(
            {
                "position": np.arange(len(trace.tokens)),
                "token": [visible(t) for t in trace.tokens.text],
                "received": strip.values.astype(float),
                "seen_by_queries": attention.seen_by().min(0),
            }
        )
        with figure_card(
            "Attention received",
            "Stronger colour: more of the later tokens' attention. Click a token to see which heads attend to it.",
            name="received",
            table=lambda: frame,
            figure=lambda: (
                figures.received(trace, layer=at_layer, head=at_head, theme_name=state.theme_name())
                .document(title="Attention received")
                .encode()
            ),
            figure_ending="html",
            code=notebook_code(trace, f"an.figures.received(trace, layer={at_layer}, head={at_head})"),
            spec=trace.spec.subtitle,
            more=explained.RECEIVED,
        ):
            chosen = token_strip(
                strip, key="received_strip", selected=state.chosen_token(trace.tokens), height=300
            )
        if chosen is not None and chosen < len(trace.tokens):
            state.choose_token(chosen)
    with right:
        _who_feeds(trace, state.chosen_token(trace.tokens))


def _who_feeds(trace: Trace, position: int) -> None:
    attention = figures.need_attention(trace)
    mean = attention.received.astype(np.float64).mean((0, 1))
    rank = int((mean > mean[position]).sum()) + 1
    queries = int(attention.seen_by()[:, position].min())
    with st.container(border=True, height="stretch"):
        st.markdown(f"**Token {count(position)}**")
        st.code(visible(trace.tokens.text[position]), language=None)
        few = " Few queries: noisy." if queries < measures.MIN_QUERIES else ""
        st.caption(
            f"receives **{significant(100 * float(mean[position]))} %** of a query's attention on average, "
            f"rank **{count(rank)}** of {count(len(mean))} as a sink; seen by {count(queries)} queries.{few}"
        )
        column = attention.received[:, :, position]
        order = np.argsort(-column.ravel(), kind="stable")[:_LISTED]
        layers, heads = np.unravel_index(order, column.shape)
        frame = pd.DataFrame(
            {"layer": attention.layer_numbers[layers], "head": heads, "gives": 100 * column.ravel()[order]}
        )
        st.dataframe(
            frame,
            hide_index=True,
            key="feeders",
            height=35 * len(frame) + 38,
            column_config={
                "gives": st.column_config.ProgressColumn(format="%.1f %%", min_value=0.0, max_value=100.0)
            },
        )


@st.fragment
def triad(trace: Trace) -> None:
    """Sink, value drain and state peak of one token over layers."""
    attention = figures.need_attention(trace)
    n = len(trace.tokens)
    with altair_card(
        "The extreme-token triad",
        "One token against the others, layer by layer: attention it gets, size of its values, size of its state.",
        lambda: triad_chart(trace, position, theme_name=state.theme_name()),
        name="triad",
        table=lambda: _triad_frame(trace, position),
        code=notebook_code(trace, "an.figures.triad_chart(trace, 0)"),
        spec=trace.spec.subtitle,
        more=explained.TRIAD,
    ) as draw:
        position: int = int(st.number_input("Token", 0, n - 1, 0, key="triad_token"))
        values = measures.triad(attention, trace.layers.residual_norm, position)
        peak = values.residual_token / np.maximum(values.residual_median, 1e-12)
        st.caption(
            f"Largest state: {significant(float(peak.max()))} times the others' median, at layer {int(peak.argmax())}. "
            + (
                f"Smallest value: {significant(float(values.value_drain.min()))} times the others' median."
                if np.isfinite(values.value_drain).any()
                else f"Values: not available. {plain(trace.unavailable.get('keys and values', ''))}"
            )
        )
        panels = triad_panels(trace, position, theme_name=state.theme_name())
        for name, panel in zip(("sink", "value drain", "state peak"), panels, strict=True):
            chart = styled(panel, state.theme_name())
            draw(chart, alt=f"The {name} over layers", key=f"triad_{name}")


def _triad_frame(trace: Trace, position: int) -> pd.DataFrame:
    attention = figures.need_attention(trace)
    values = measures.triad(attention, trace.layers.residual_norm, position)
    by_layer = pd.DataFrame(
        {"received": values.sink.mean(1), "drain": values.value_drain.mean(1)}, index=attention.layer_numbers
    ).reindex(range(len(values.residual_token)))
    return pd.DataFrame(
        {
            "layer": np.arange(len(values.residual_token)),
            "received_mean": by_layer["received"].astype(float),
            "value_over_others": by_layer["drain"].astype(float),
            "state_norm_token": values.residual_token.astype(float),
            "state_norm_others_median": values.residual_median.astype(float),
            "state_norm_others_largest": values.residual_max.astype(float),
        }
    )


@st.fragment
def dilution(trace: Trace) -> None:
    """Row entropy against position."""
    unit = state.unit()

    def table() -> pd.DataFrame:
        frame = measures.entropy_by_position(figures.need_attention(trace))
        for column in ("entropy", "uniform", "below_uniform"):
            frame[f"{column}_{unit}"] = from_nats(frame.pop(column), unit)
        return frame

    with altair_card(
        "Does attention dilute?",
        "Mean row entropy against position. The dashed line is uniform attention, ln N.",
        lambda: entropy_against_position(trace, unit=unit, theme_name=state.theme_name()),
        name="dilution",
        alt="Row entropy against position",
        table=table,
        code=notebook_code(trace, f"an.figures.entropy_against_position(trace, unit={unit!r})"),
        spec=trace.spec.subtitle,
        more=explained.DILUTION,
    ) as draw:
        draw()
