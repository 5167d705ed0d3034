"""Papers: what every method, measure, rule and law comes from, and what differs here."""

from app.widgets.layout import heading

line = heading("papers")

from app.panels.papers.view import shelf  # noqa: E402 - after the heading is on screen

shelf(line)
