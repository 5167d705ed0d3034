"""Two pictures on one axis of layers: what heads give token 0, and in how many ways the tokens differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.attention_sinks.summary import sink_numbers
from analysis.drawing.numbers import significant
from analysis.entropy_collapse.layers.curves import collapse_layer
from analysis.story.figures import entropy_by_layer, sinks_by_layer
from analysis.units import Unit, from_nats
from app import state
from app.navigation import entry_of, page
from app.panels.overview.background import run_key
from app.widgets.figure_card import show_chart
from app.widgets.messages import unavailable

if TYPE_CHECKING:
    from analysis.results.trace import Trace


_KEPT = 64
"""Charts kept: making one takes longer than everything else that a click on a token changes."""


def take_clicks() -> None:
    """Let a new click in one of the charts choose the layer, and the head where it names one."""
    for clicked in (_new_click(state.XRAY_SINKS), _new_click(state.XRAY_ENTROPY)):
        if "layer" in clicked:
            st.session_state[state.LAYER] = int(clicked["layer"])
        if "head" in clicked:
            st.session_state[state.HEAD] = int(clicked["head"])


def _new_click(chart: str) -> dict[str, int]:
    """What was clicked in a chart since the last time; empty where nothing was."""
    rows = (st.session_state.get(chart) or {}).get("selection", {}).get("pick", [])
    taken = st.session_state.setdefault(state.XRAY_PICKED, {})
    if not rows or rows[0] == taken.get(chart):
        return {}
    taken[chart] = rows[0]
    return dict(rows[0])


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
        more_about(slug)


def more_about(slug: str) -> None:
    """An arrow to the page of a picture."""
    label = f"More about {entry_of(slug).title.lower()}"
    st.page_link(page(slug), label=label, icon=":material/arrow_forward:", help=label, width="content")


def _sinks(trace: Trace, layer: int) -> None:
    assert trace.attention is not None
    numbers = sink_numbers(trace.attention)
    share, uniform = (significant(100 * x) for x in (numbers.on_first, numbers.uniform))
    title_line(
        "overview_sinks",
        "Attention on token 0, by head",
        f"mean {share} % · uniform {uniform} %",
        "attention_sinks",
    )
    show_chart(
        _sinks_chart(run_key(trace), layer, state.theme_name(), trace),
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
        _entropy_chart(run_key(trace), layer, unit, state.theme_name(), trace),
        alt=f"Matrix entropy of the token states over layers, with and without token 0, layer {layer} marked",
        key=state.XRAY_ENTROPY,
        on_select="rerun",
        selection_mode="pick",
    )


@st.cache_data(show_spinner=False, max_entries=_KEPT)
def _sinks_chart(run: str, layer: int, theme_name: str, _trace: Trace) -> dict[str, Any]:  # noqa: ARG001
    spec: dict[str, Any] = sinks_by_layer(_trace, layer, theme_name=theme_name, pick=True).to_dict()
    return spec


@st.cache_data(show_spinner=False, max_entries=_KEPT)
def _entropy_chart(run: str, layer: int, unit: Unit, theme_name: str, _trace: Trace) -> dict[str, Any]:  # noqa: ARG001
    chart = entropy_by_layer(_trace, layer, unit=unit, theme_name=theme_name, pick=True)
    spec: dict[str, Any] = chart.to_dict()
    return spec


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
