"""Token entropy: how unsure the model was just before each token. Runs :func:`app.runs.submit`."""

import streamlit as st

from app.components.checks import checks
from app.components.entropy_charts import along_the_text, scatter, token_table
from app.components.entropy_strip import numbers, strip_and_detail
from app.components.layout import side_by_side
from app.components.lens_panel import lens
from app.components.prompt import prompt
from app.components.run_status import current_run
from app.navigation import question

st.title("Token entropy")
st.caption(question("token_entropy"))
prompt()
trace = current_run()
if trace is None:
    st.stop()

numbers(trace)
strip_and_detail(trace)
along_the_text(trace)
left, right = side_by_side("tables", 2)
with left:
    scatter(trace)
with right:
    token_table(trace)
lens(trace)
checks(trace)
