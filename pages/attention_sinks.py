"""Attention sinks: where every head looks. Uses the run that is on screen, no second forward."""

import streamlit as st

from app.panels.attention_sinks.compare import active_or_dormant
from app.panels.attention_sinks.experiments import streaming, without_sink
from app.panels.attention_sinks.extremes import massive_activations
from app.panels.attention_sinks.heads import heads, numbers
from app.panels.attention_sinks.map import one_head
from app.panels.attention_sinks.tokens import dilution, received, triad
from app.widgets.layout import heading
from app.widgets.messages import unavailable
from app.widgets.plain import plain
from app.widgets.run_bar import run_bar
from app.widgets.run_status import shown_run

run_bar()
heading("attention_sinks")
trace = shown_run()
if trace.attention is None:
    unavailable("Attention", trace.unavailable.get("attention", "The opened file was made without it."))
    st.caption(plain(trace.spec.subtitle))
    st.stop()

numbers(trace)
if "attention of other layers" in trace.unavailable:
    n_layers = trace.attention.n_layers
    st.caption(
        plain(
            f"Attention in {n_layers} of {trace.spec.n_layers} layers. {trace.unavailable['attention of other layers']}"
        )
    )
heads(trace)
received(trace)
triad(trace)
massive_activations(trace)
dilution(trace)
one_head(trace)
active_or_dormant(trace)
without_sink(trace)
streaming(trace)
