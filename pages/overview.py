"""Overview: one run from four sides. Runs :func:`app.compute.requests.submit`."""

from app.widgets.layout import heading
from app.widgets.run_bar import run_bar
from app.widgets.run_status import shown_run

run_bar()
heading("overview")

from app.panels.overview.view import pictures  # noqa: E402 - after the heading is on screen

pictures(shown_run())
