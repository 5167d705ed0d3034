"""Attention sinks: where every head looks. Uses the run that is on screen, no second forward."""

import streamlit as st

from app import state
from app.choice import choose
from app.panels.attention_sinks.experiments import experiments
from app.panels.attention_sinks.heads import heads
from app.panels.attention_sinks.layers import layers
from app.panels.attention_sinks.map import ask_for_maps
from app.panels.attention_sinks.tokens import tokens
from app.widgets.layout import heading
from app.widgets.messages import unavailable
from app.widgets.plain import plain
from app.widgets.run_bar import run_bar
from app.widgets.run_status import shown_run

VIEWS = {"heads": heads, "tokens": tokens, "over layers": layers, "experiments": experiments}
OLD_LINKS = {state.RECEIVED: "tokens", state.BREAK: "experiments"}
"""Where the pictures of keys are now that were in links before there were views."""

run_bar()
if state.SINKS_VIEW not in st.session_state and state.SINKS_VIEW not in st.query_params:
    for key, view in OLD_LINKS.items():
        if key in st.query_params:
            st.session_state[state.SINKS_VIEW] = view
chosen = choose(
    "View", list(VIEWS), key=state.SINKS_VIEW, place=heading("attention_sinks"), titled=False, width="content"
)
trace = shown_run()
if trace.attention is None:
    unavailable("Attention", trace.unavailable.get("attention", "The opened file was made without it."))
    st.caption(plain(trace.spec.subtitle))
    st.stop()
if "attention of other layers" in trace.unavailable:
    n_layers = trace.attention.n_layers
    st.caption(
        plain(
            f"Attention in {n_layers} of {trace.spec.n_layers} layers. {trace.unavailable['attention of other layers']}"
        )
    )
ask_for_maps(trace)
VIEWS[chosen](trace)
