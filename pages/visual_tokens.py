"""Visual tokens: where a model looks on a picture, what its layers do to it, and which patches could have gone."""

from app.panels.visual_tokens.bar import visual_bar
from app.widgets.layout import heading

visual_bar()
line = heading("visual_tokens")

from app.panels.visual_tokens.view import chosen_view, visual_view  # noqa: E402 - after the heading is on screen

visual_view(chosen_view(line))
