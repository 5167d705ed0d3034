"""Attention sinks: received attention on the text, the triad over layers, dilution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from analysis.attention_sinks import figures, measures
from analysis.attention_sinks.curve_figures import entropy_against_position, triad_chart, triad_panels
from analysis.attention_sinks.summary import received_by, received_frame, triad_frame
from analysis.drawing.charts import styled
from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from analysis.units import table_in
from app import state
from app.choice import choose
from app.panels.attention_sinks import help as explained
from app.panels.attention_sinks.heads import chosen_head
from app.widgets.figure_card import altair_card, html_card, notebook_code
from app.widgets.layout import side_by_side, table_height
from app.widgets.plain import plain
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    import pandas as pd

    from analysis.results.trace import Trace

_SCOPES = ("all heads", "chosen layer", "chosen head")


@st.fragment
def received(trace: Trace) -> None:
    """The text coloured by attention received; a click lists the heads that feed on a token."""
    attention = figures.need_attention(trace)
    layer, head = chosen_head(attention)
    left, right = side_by_side("received", [1.9, 1])
    with left:
        scope = choose("From", _SCOPES, key=state.RECEIVED, titled=False)
        at_layer = layer if scope != "all heads" else None
        at_head = head if scope == "chosen head" else None
        strip = figures.received_strip(trace, layer=at_layer, head=at_head)

        def table() -> pd.DataFrame:
            frame = received_frame(attention, at_layer, at_head)
            frame.insert(1, "token", [visible(t) for t in trace.tokens.text])
            return frame

        with html_card(
            "Attention received",
            "Stronger colour: more of the later tokens' attention. Click a token to see which heads attend to it.",
            lambda: figures.received(trace, layer=at_layer, head=at_head, theme_name=state.theme_name()),
            name="received",
            table=table,
            code=notebook_code(trace, f"an.figures.received(trace, layer={at_layer}, head={at_head})"),
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
    gets = received_by(attention, position)
    with st.container(border=True, height="stretch"):
        st.markdown(f"**Token {count(position)}**")
        st.code(visible(trace.tokens.text[position]), language=None)
        few = " Few queries: noisy." if gets.n_queries < measures.MIN_QUERIES else ""
        st.caption(
            f"receives **{significant(100 * gets.mean)} %** of a query's attention on average, "
            f"rank **{count(gets.rank)}** of {count(len(trace.tokens))} as a sink; seen by {count(gets.n_queries)} queries.{few}"
        )
        st.dataframe(
            gets.heads.assign(gives=100 * gets.heads["gives"]),
            hide_index=True,
            key="feeders",
            height=table_height(len(gets.heads)),
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
        table=lambda: triad_frame(attention, trace.layers.residual_norm, position),
        code=notebook_code(trace, "an.figures.triad_chart(trace, 0)"),
        more=explained.TRIAD,
    ) as draw:
        position: int = int(st.number_input("Token", 0, n - 1, 0, key="triad_token"))
        values = measures.triad(attention, trace.layers.residual_norm, position)
        peak, layer = values.state_peak
        st.caption(
            f"Largest state: {significant(peak)} times the others' median, at layer {layer}. "
            + (
                f"Smallest value: {significant(values.smallest_value)} times the others' median."
                if math.isfinite(values.smallest_value)
                else f"Values: not available. {plain(trace.unavailable.get('keys and values', ''))}"
            )
        )
        panels = triad_panels(trace, position, theme_name=state.theme_name())
        for name, panel in zip(("sink", "value drain", "state peak"), panels, strict=True):
            chart = styled(panel, state.theme_name())
            draw(chart, alt=f"The {name} over layers", key=f"triad_{name}")


@st.fragment
def dilution(trace: Trace) -> None:
    """Row entropy against position."""
    unit = state.unit()

    def table() -> pd.DataFrame:
        frame = measures.entropy_by_position(figures.need_attention(trace))
        return table_in(frame, ("entropy", "uniform", "below_uniform"), unit)

    with altair_card(
        "Does attention dilute?",
        "Mean row entropy against position. The dashed line is uniform attention, ln N.",
        lambda: entropy_against_position(trace, unit=unit, theme_name=state.theme_name()),
        name="dilution",
        alt="Row entropy against position",
        table=table,
        code=notebook_code(trace, f"an.figures.entropy_against_position(trace, unit={unit!r})"),
        more=explained.DILUTION,
    ) as draw:
        draw()
