"""Overview: what the tool is for, and a real result at once. Runs :func:`app.compute.requests.submit`."""

import streamlit as st

from app.navigation import question
from app.widgets.prompt import prompt
from app.widgets.run_status import current_run

st.title("Logitscope")
st.caption(question("overview"))
st.markdown(
    "Logitscope runs a language model on this machine and shows what it expected before every token of a text. "
    "Every number comes from one measured run and carries its unit, and each run checks itself and shows by how much. "
    "Pick a text, press Run, and click a word to see what the model thought would come instead."
)
prompt()
trace = current_run()
if trace is None:
    st.stop()

from app.panels.overview.view import pictures  # noqa: E402 - after the heading is on screen

pictures(trace)
