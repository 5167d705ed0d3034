"""Overview: one run from four sides. Runs :func:`app.compute.requests.submit`."""

from app.widgets.layout import heading
from app.widgets.run_bar import run_bar
from app.widgets.run_status import shown_run

run_bar()
line = heading("overview")

from app.panels.overview.view import colour_switch, xray  # noqa: E402 - after the heading is on screen

trace = shown_run()
xray(trace, colour_switch(line, trace))
