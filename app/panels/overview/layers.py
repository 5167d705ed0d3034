"""Two pictures on one axis of layers: what heads give token 0, and in how many ways the tokens differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.numbers import significant
from analysis.entropy_collapse.layers.curves import collapse_layer
from analysis.story.figures import entropy_by_layer, sinks_by_layer
from analysis.units import from_nats
from app import state
from app.navigation import entry_of, page
from app.widgets.figure_card import show_chart
from app.widgets.messages import unavailable

if TYPE_CHECKING:
    from analysis.results.trace import Trace


def take_clicks() -> None:
    """Let a new click in one of the charts choose the layer, and the head where it names one."""
    for key in (state.XRAY_SINKS, state.XRAY_ENTROPY):
        rows = (st.session_state.get(key) or {}).get("selection", {}).get("pick", [])
        seen = st.session_state.setdefault(state.XRAY_PICKED, {})
        if rows and rows[0] != seen.get(key):
            seen[key] = rows[0]
            for name, place in (("layer", state.LAYER), ("head", state.HEAD)):
                if name in rows[0]:
                    st.session_state[place] = int(rows[0][name])


def over_layers(trace: Trace) -> None:
    """Draw both with the chosen layer as a line; a click in either chooses it."""
    layer = _chosen_layer(trace)
    with st.container(border=True, height="stretch", key="panel_layers"):
        if trace.attention is None:
            unavailable(
                "Attention sinks",
                trace.unavailable.get("attention", "The opened file was made without attention."),
            )
        else:
            _sinks(trace, layer)
        if trace.layers.spectrum is None:
            unavailable(
                "Matrix entropy",
                trace.unavailable.get("spectra", "The opened file was made without spectra."),
            )
        else:
            _entropy(trace, layer)


def title_line(name: str, title: str, phrase: str, slug: str) -> None:
    """Title, what it says, and the way to the page of the picture."""
    with st.container(key=f"titleline_{name}", horizontal=True, vertical_alignment="center", gap="xxsmall"):
        st.markdown(f"**{title}**", width="content")
        st.caption(phrase, width="stretch")
        label = f"Look closer: {entry_of(slug).title}"
        st.page_link(page(slug), label=label, icon=":material/arrow_forward:", help=label, width="content")


def _sinks(trace: Trace, layer: int) -> None:
    assert trace.attention is not None
    share, uniform = (
        significant(100 * float(x.mean())) for x in (trace.attention.sink_mass, trace.attention.sink_baseline)
    )
    title_line(
        "overview_sinks",
        "Attention on token 0, by head",
        f"mean {share} % · uniform {uniform} %",
        "attention_sinks",
    )
    show_chart(
        sinks_by_layer(trace, layer, theme_name=state.theme_name(), pick=True),
        alt=f"Attention on token 0, one cell per layer and head, layer {layer} marked",
        key=state.XRAY_SINKS,
        on_select="rerun",
        selection_mode="pick",
    )


def _entropy(trace: Trace, layer: int) -> None:
    unit, entropy = state.unit(), trace.layers.matrix_entropy
    assert entropy is not None
    values = [significant(from_nats(float(x), unit)) for x in entropy[max(layer - 1, 0) : layer + 1]]
    title_line(
        "overview_entropy",
        "Matrix entropy",
        f"layer {layer}: {' → '.join(values)} {unit}; dashed: no token 0",
        "entropy_collapse",
    )
    show_chart(
        entropy_by_layer(trace, layer, unit=unit, theme_name=state.theme_name(), pick=True),
        alt=f"Matrix entropy of the token states over layers, with and without token 0, layer {layer} marked",
        key=state.XRAY_ENTROPY,
        on_select="rerun",
        selection_mode="pick",
    )


def _chosen_layer(trace: Trace) -> int:
    """The layer that was chosen anywhere, else the one into which matrix entropy falls most."""
    layer = st.session_state.get(state.LAYER)
    if layer is not None and 0 <= layer <= trace.spec.n_layers:
        return int(layer)
    return (
        collapse_layer([trace]).candidate
        if trace.layers.spectrum is not None and trace.spec.n_layers > 1
        else 0
    )
