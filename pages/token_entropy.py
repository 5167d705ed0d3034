"""Token entropy: how unsure the model was just before each token. Runs :func:`app.compute.requests.submit`."""

import streamlit as st

from app.navigation import question
from app.panels.token_entropy.charts import along_the_text, scatter, token_table
from app.panels.token_entropy.lens import lens
from app.panels.token_entropy.strip import numbers, strip_and_detail
from app.widgets.checks import checks
from app.widgets.layout import side_by_side
from app.widgets.prompt import prompt
from app.widgets.run_status import current_run

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
