"""Attention sinks, heads: the layer by head map, the numbers of the run, and the chosen head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.attention_sinks import figures, measures
from analysis.attention_sinks.cells import head_cells
from analysis.attention_sinks.summary import sink_numbers
from analysis.drawing.numbers import count, significant
from app import state
from app.choice import choose
from app.panels.attention_sinks import help as explained
from app.panels.attention_sinks.chosen import about_head, head_cell_map, head_line
from app.panels.attention_sinks.map import chosen_query, one_head
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.layout import number_line, picture_and_choice

if TYPE_CHECKING:
    from analysis.results.trace import Trace


@st.fragment
def heads(trace: Trace) -> None:
    """Draw the view: a click in the map chooses the head for everything else."""
    left, right = picture_and_choice("heads")
    with left:
        _map(trace)
        _numbers(trace)
        one_head(trace)
    with right, st.container(border=True, key="panel_head"):
        head_line(figures.need_attention(trace))
        about_head(trace)
        chosen_query(trace)


def _map(trace: Trace) -> None:
    attention = figures.need_attention(trace)
    missing = {"learned_sink": attention.learned_sink is None, "gate": attention.gate is None}
    options = [q for q in figures.HEAD_QUANTITIES if not missing.get(q)]
    shown = st.session_state.get(state.HEAD_QUANTITY, st.query_params.get(state.HEAD_QUANTITY))
    quantity = shown if shown in options else options[0]
    with altair_card(
        "Every head of every layer",
        explained.HEAD_CAPTIONS[quantity],
        lambda: figures.head_map(trace, quantity, theme_name=state.theme_name()),
        name="head_map",
        phrase="one cell per layer and head",
        table=lambda: measures.heads_frame(attention),
        code=notebook_code(trace, f"an.figures.head_map(trace, {quantity!r})"),
        more=explained.SINKS,
    ):
        with st.container(horizontal=True, vertical_alignment="center", key="line_head_map"):
            choose(
                "Colour by",
                options,
                key=state.HEAD_QUANTITY,
                titled=False,
                format_func=lambda q: explained.HEAD_LABELS[q],
                wrap=True,
                width="content",
            )
            _threshold()
        head_cell_map(attention, head_cells(trace, quantity), "head_map_cells")


def _threshold() -> None:
    with st.popover("Threshold", type="tertiary"):
        st.slider(
            "A head has a sink where a token gets more than",
            0.05,
            0.95,
            measures.SINK_EPSILON,
            0.05,
            key=state.EPSILON,
            bind="query-params",
            help="Epsilon of the sink rate; 0.3 in Gu et al. 2024.",
        )


def _numbers(trace: Trace) -> None:
    """The five numbers of the run."""
    attention = figures.need_attention(trace)
    epsilon = st.session_state[state.EPSILON]
    sinks = sink_numbers(attention, epsilon)
    peak, at = measures.triad(attention, trace.layers.residual_norm).state_peak
    cells = [
        ("on token 0", f"{significant(100 * sinks.on_first)} %",
         "Mean over all heads and over the queries after token 0."),
        ("times uniform", significant(sinks.times_uniform),
         "The same divided by what uniform causal attention over this text would give: 1 is no preference."),
        ("sink rate", f"{significant(100 * sinks.rate)} %",
         f"Share of heads that give token 0 more than {epsilon:g} on average (Gu et al. 2024)."),
        ("strongest sink", f"token {count(sinks.strongest)}" if sinks.strongest >= 0 else "not available",
         f"Where the largest mean attention of any head goes, among tokens that at least "
         f"{measures.MIN_QUERIES} queries can see."),
        ("state peak", f"× {significant(peak)}",
         f"Largest norm of token 0's state over the median of the others', at layer {at}."),
    ]  # fmt: skip
    number_line("heads", cells)
