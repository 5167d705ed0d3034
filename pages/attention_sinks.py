"""Attention sinks: where every head looks. Uses the run that is on screen, no second forward."""

import streamlit as st

from app.components.checks import checks
from app.components.errors import unavailable
from app.components.plain import plain
from app.components.prompt import prompt
from app.components.run_status import current_run
from app.components.sink_compare import active_or_dormant
from app.components.sink_experiments import break_it, streaming
from app.components.sink_extremes import massive_activations
from app.components.sink_heads import heads, numbers
from app.components.sink_map import one_head
from app.components.sink_tokens import dilution, received, triad
from app.navigation import question

st.title("Attention sinks")
st.caption(question("attention_sinks"))
prompt()
trace = current_run()
if trace is None:
    st.stop()
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
break_it(trace)
streaming(trace)
checks(trace)
