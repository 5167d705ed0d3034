"""Token entropy: how unsure the model was just before each token. Runs :func:`app.compute.requests.submit`."""

from app.panels.token_entropy.strip import numbers
from app.panels.token_entropy.views import chosen_view, view_and_token
from app.widgets.layout import heading
from app.widgets.run_bar import run_bar
from app.widgets.run_status import shown_run

run_bar()
view = chosen_view(heading("token_entropy"))
trace = shown_run()
numbers(trace)
view_and_token(trace, view)
