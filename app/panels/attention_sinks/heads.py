"""Attention sinks: numbers, layer by head map, and the chosen head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.attention_sinks import figures, measures
from analysis.attention_sinks.summary import leaning_head, sink_numbers
from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from app import state
from app.choice import choose
from app.panels.attention_sinks import help as explained
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.layout import number_line, side_by_side

if TYPE_CHECKING:
    from analysis.results.attention import AttentionTrace
    from analysis.results.trace import Trace


def chosen_head(attention: AttentionTrace) -> tuple[int, int]:
    """Layer and head chosen by a person, else the head that leans most on token 0."""
    layer, head = st.session_state.get(state.LAYER), st.session_state.get(state.HEAD)
    if layer is None or layer not in attention.layer_numbers or head is None or head >= attention.n_heads:
        return leaning_head(attention)
    return int(layer), int(head)


def numbers(trace: Trace) -> None:
    """The five numbers at the head of the page."""
    attention = figures.need_attention(trace)
    epsilon = st.session_state.get(state.EPSILON, measures.SINK_EPSILON)
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
         f"Largest norm of token 0's state over the median of the others, at layer {at}."),
    ]  # fmt: skip
    number_line("heads", cells)


@st.fragment
def heads(trace: Trace) -> None:
    """The layer by head map; a click chooses the head for the panels below."""
    attention = figures.need_attention(trace)
    left, right = side_by_side("heads", [2.2, 1])
    with left:
        _map(trace, attention)
    with right:
        _head_detail(trace, attention)


def _map(trace: Trace, attention: AttentionTrace) -> None:
    missing = {"learned_sink": attention.learned_sink is None, "gate": attention.gate is None}
    options = [q for q in figures.HEAD_QUANTITIES if not missing.get(q)]
    quantity = choose(
        "Colour by",
        options,
        key=state.HEAD_QUANTITY,
        titled=False,
        format_func=lambda q: explained.HEAD_LABELS[q],
        wrap=True,
    )

    with st.popover("Threshold"):
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
        epsilon = st.session_state[state.EPSILON]
        if st.session_state.setdefault(state.DRAWN_EPSILON, epsilon) != epsilon:
            st.session_state[state.DRAWN_EPSILON] = epsilon
            st.rerun()  # the sink rate stands above

    with altair_card(
        "Every head of every layer",
        explained.HEAD_CAPTIONS[quantity],
        lambda: figures.head_map(trace, quantity, theme_name=state.theme_name()),
        alt="One cell per layer and head",
        name="head_map",
        table=lambda: measures.heads_frame(attention),
        code=notebook_code(trace, f"an.figures.head_map(trace, {quantity!r})"),
        more=explained.SINKS,
    ) as draw:
        event = draw(on_select="rerun", selection_mode="pick")
        picked = event.get("selection", {}).get("pick", []) if event else []
        if picked and (picked[0]["layer"], picked[0]["head"]) != st.session_state.get(state.HEAD_PICKED):
            layer, head = int(picked[0]["layer"]), int(picked[0]["head"])
            st.session_state[state.HEAD_PICKED] = (layer, head)
            st.session_state[state.LAYER], st.session_state[state.HEAD] = layer, head
            st.rerun()


def _head_detail(trace: Trace, attention: AttentionTrace) -> None:
    layer, head = chosen_head(attention)
    with st.container(border=True, height="stretch"):
        st.markdown("**Head**")
        columns = st.columns(2)
        layers = attention.layer_numbers.tolist()
        columns[0].selectbox(
            "Layer", layers, layers.index(layer), key=state.LAYER_INPUT, on_change=_typed_head
        )
        columns[1].number_input(
            "Head", 0, attention.n_heads - 1, head, key=state.HEAD_INPUT, on_change=_typed_head
        )
        at = attention.row_of(layer), head
        position, received = measures.strongest_sink(attention)
        entropy = measures.head_entropy(attention)
        name = str(measures.head_classes(entropy)[at])
        where = int(position[at])
        rows = [
            f"attention on token 0 **{significant(100 * float(attention.sink_mass[at]))} %**, "
            f"**{significant(float(measures.against_baseline(attention)[at]))}** times uniform",
            f"row entropy **{significant(100 * float(entropy[at]))} %** of uniform: {name or 'not available'}",
            f"attends **{significant(float(attention.distance[at]))}** tokens back on average",
            f"shares its keys and values with KV head **{attention.kv_head(head)}**",
        ]
        if attention.window[at[0]]:
            rows.append(f"sees the last **{count(int(attention.window[at[0]]))}** tokens only")
        if attention.chunk[at[0]]:
            rows.append(f"sees its own chunk of **{count(int(attention.chunk[at[0]]))}** tokens only")
        if attention.gate is not None:
            passed = 100 * float(attention.gate[at])
            rows.append(f"its gate passes on **{significant(passed)} %** of what it writes")
        if attention.learned_sink is not None:
            share = 100 * float(attention.learned_sink[at])
            rows.append(f"gives **{significant(share)} %** to its learned sink")
        st.caption("  \n".join(rows))
        if where >= 0:
            st.caption(
                f"Attends most to token {count(where)}, "
                f"**{significant(100 * float(received[at]))} %** on average:"
            )
            st.code(visible(trace.tokens.text[where]), language=None)


def _typed_head() -> None:
    st.session_state[state.LAYER] = int(st.session_state[state.LAYER_INPUT])
    st.session_state[state.HEAD] = int(st.session_state[state.HEAD_INPUT])
