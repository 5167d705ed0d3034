"""Compare: two sides that differ in one thing, token by token. Runs :func:`app.compute.comparing.submit_comparison`."""

from app.panels.compare.bar import compare_bar
from app.widgets.layout import heading

compare_bar()
line = heading("compare")

from app.panels.compare.view import chosen_view, compare_view  # noqa: E402 - after the heading is on screen

compare_view(chosen_view(line))
