"""Token entropy: how unsure the model was just before each token. Runs :func:`app.compute.requests.submit`."""

from app.panels.token_entropy.charts import along_the_text, scatter, token_table
from app.panels.token_entropy.lens import lens
from app.panels.token_entropy.strip import numbers, strip_and_detail
from app.widgets.layout import heading, side_by_side
from app.widgets.run_bar import run_bar
from app.widgets.run_status import shown_run

run_bar()
heading("token_entropy")
trace = shown_run()
numbers(trace)
strip_and_detail(trace)
along_the_text(trace)
left, right = side_by_side("tables", 2)
with left:
    scatter(trace)
with right:
    token_table(trace)
lens(trace)
