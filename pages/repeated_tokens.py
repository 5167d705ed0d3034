"""Repeated tokens: what the second time costs. Runs :func:`app.compute.requests.submit`."""

import streamlit as st

from analysis.token_entropy.repeats import repeated_tokens
from app.navigation import question
from app.widgets.checks import checks
from app.widgets.plain import plain
from app.widgets.prompt import prompt
from app.widgets.run_status import current_run

st.title("Repeated tokens")
st.caption(question("repeated_tokens"))
prompt()
trace = current_run()
if trace is None:
    st.stop()

st.dataframe(repeated_tokens(trace.tokens), hide_index=True, key="repeated")
st.caption(plain(trace.spec.subtitle))
checks(trace)
