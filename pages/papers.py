"""Papers: what every method, measure, rule and law comes from, and what differs here."""

from app.widgets.layout import heading

heading("papers")

from app.panels.papers.view import all_papers  # noqa: E402 - after the heading is on screen

all_papers()
