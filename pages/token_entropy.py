"""Token entropy: how unsure the model was just before each token. Runs :func:`app.runs.submit`."""

import streamlit as st

from app.components import entropy_panels as panels
from app.components.layout import side_by_side
from app.components.prompt import prompt
from app.components.run_status import current_run
from app.navigation import question

st.title("Token entropy")
st.caption(question("token_entropy"))
prompt()
trace = current_run()
if trace is None:
    st.stop()

panels.numbers(trace)
panels.strip_and_detail(trace)
panels.along_the_text(trace)
left, right = side_by_side("tables", 2)
with left:
    panels.scatter(trace)
with right:
    panels.token_table(trace)
panels.lens(trace)
panels.checks(trace)
