"""The page Compare put together: both strips, what belongs to the chosen view, and the chosen token beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.choice import choose
from app.panels.compare import running
from app.panels.compare.along import along_card, quadrants_card, take_clicks
from app.panels.compare.chosen import chosen_panel
from app.panels.compare.most_changed import most_changed_card, take_row
from app.panels.compare.numbers import numbers
from app.panels.compare.strips import strips_card
from app.widgets.layout import picture_and_choice, side_by_side

if TYPE_CHECKING:
    from app.panels.compare.running import Shown

VIEWS = ("tokens", "layers", "rules", "summary", "engine")


def chosen_view(line: Any) -> str:
    """Let a person choose what is drawn under the strips, at the end of the heading's line."""
    view: str = choose("View", VIEWS, key=state.COMPARE_VIEW, place=line, titled=False)
    return view


@st.fragment
def compare_view(view: str) -> None:
    """Draw what is on screen; a choice draws this again and nothing else."""
    take_clicks()
    take_row()
    on_screen = running.shown()
    numbers(on_screen)
    strips_card(on_screen)
    left, right = picture_and_choice("compare")
    with left:
        if view == "tokens":
            along_card(on_screen)
            changed, quadrants = side_by_side("changed", 2)
            with changed:
                most_changed_card(on_screen)
            with quadrants:
                quadrants_card(on_screen)
        else:
            _deeper(on_screen, view)
    with right:
        chosen_panel(on_screen)


def _deeper(on_screen: Shown, view: str) -> None:
    """The other views, each imported when it is first drawn."""
    if view == "layers":
        from app.panels.compare.structure import structure_cards

        structure_cards(on_screen)
    elif view == "rules":
        from app.panels.compare.rules import rules_card

        rules_card(on_screen)
    elif view == "summary":
        from app.panels.compare.summary import summary_cards

        summary_cards(on_screen)
    else:
        from app.panels.compare.engine import engine_cards

        engine_cards()
