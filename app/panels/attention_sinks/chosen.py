"""Attention sinks: the chosen head and the chosen token, beside every picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.attention_sinks import measures
from analysis.attention_sinks.figures import need_attention
from analysis.attention_sinks.summary import leaning_head, received_by
from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from app import one_choice, state
from app.widgets.cell_map import cell_map
from app.widgets.plain import plain
from app.widgets.stepper import stepper

if TYPE_CHECKING:
    from analysis.drawing.cells import Cells
    from analysis.results.attention import AttentionTrace
    from analysis.results.trace import Trace


def chosen_head(attention: AttentionTrace) -> tuple[int, int]:
    """Layer and head chosen by a person, else the head that leans most on token 0, in the layer if one is chosen."""
    layer, head = state.number_of(state.LAYER), state.number_of(state.HEAD)
    if layer is None or layer not in attention.layer_numbers:
        return leaning_head(attention)
    return leaning_head(attention, layer) if head is None or head >= attention.n_heads else (layer, head)


def head_line(attention: AttentionTrace) -> None:
    """The chosen head by name, and its neighbours."""
    layer, head = chosen_head(attention)
    n_heads = attention.n_heads

    def choose(number: int) -> None:
        one_choice.choose_head(int(attention.layer_numbers[number // n_heads]), number % n_heads)

    at = attention.row_of(layer) * n_heads + head
    stepper("head", f"Layer {layer}, head {head}", "head", at, attention.n_layers * n_heads, choose)


def head_cell_map(attention: AttentionTrace, cells: Cells, key: str) -> None:
    """Draw a map of heads by layers; a click chooses the head on all pages."""
    layer, head = chosen_head(attention)
    picked = cell_map(cells, key=key, selected=(head, layer), height=560, row_height=22)
    if picked is not None and picked != (head, layer) and picked[1] in attention.layer_numbers:
        one_choice.choose_head(picked[1], picked[0])


def token_line(trace: Trace) -> int:
    """The chosen token by name, and its neighbours; its position."""
    position, n = one_choice.chosen_token(trace.tokens), len(trace.tokens)
    title = f"Token {count(position)} “{visible(trace.tokens.text[position])}”"
    stepper("token", title, "token", position, n, one_choice.choose_token)
    return position


def about_head(trace: Trace) -> None:
    """What a run says about the chosen head."""
    attention = need_attention(trace)
    layer, head = chosen_head(attention)
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
        rows.append(
            f"its gate passes on **{significant(100 * float(attention.gate[at]))} %** of what it writes"
        )
    if attention.learned_sink is not None:
        share = 100 * float(attention.learned_sink[at])
        rows.append(f"gives **{significant(share)} %** to its learned sink")
    if where >= 0:
        text = plain(visible(trace.tokens.text[where]))
        rows.append(
            f"attends most to token {count(where)} “{text}”: **{significant(100 * float(received[at]))} %** on average"
        )
    st.caption("  \n".join(rows))


def about_received(trace: Trace) -> None:
    """The chosen token, what it receives, and the heads that attend to it most."""
    with st.container(border=True, key="panel_token"):
        position = token_line(trace)
        gets = received_by(need_attention(trace), position)
        few = " Few queries: noisy." if gets.n_queries < measures.MIN_QUERIES else ""
        st.caption(
            f"receives **{significant(100 * gets.mean)} %** of a query's attention on average, "
            f"rank **{count(gets.rank)}** of {count(len(trace.tokens))} as a sink; seen by {count(gets.n_queries)} queries.{few}"
        )
        st.dataframe(
            gets.heads.assign(gives=100 * gets.heads["gives"]),
            hide_index=True,
            key="feeders",
            height="content",
            column_config={
                "gives": st.column_config.ProgressColumn(format="%.1f %%", min_value=0.0, max_value=100.0)
            },
        )
