"""The page put together: the numbers, what belongs to the chosen view, and what is chosen beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.choice import choose
from app.panels.visual_tokens import attention, running
from app.panels.visual_tokens.chosen import chosen_panel
from app.panels.visual_tokens.numbers import numbers
from app.widgets.layout import picture_and_choice

if TYPE_CHECKING:
    from analysis.visual_tokens.results import VisualAnswer

VIEWS = ("attention", "compare", "pruning", "horizon", "layers", "fragility")


def chosen_view(line: Any) -> str:
    """Let a person choose what is drawn, at the end of the heading's line."""
    view: str = choose("View", VIEWS, key=state.LOOK_VIEW, place=line, titled=False)
    return view


@st.fragment
def visual_view(view: str) -> None:
    """Draw what is on screen; a choice draws this again and nothing else."""
    attention.take_clicks()
    a = running.shown()
    numbers(a)
    left, right = picture_and_choice("visual")
    with left:
        if view == "attention":
            attention.attention_cards(a)
        else:
            _deeper(a, view)
    with right:
        chosen_panel(a)


def _deeper(a: VisualAnswer, view: str) -> None:
    """The other views, each imported when it is first drawn."""
    if view == "compare":
        from app.panels.visual_tokens.pair import pair_cards

        pair_cards(a)
    elif view == "pruning":
        from app.panels.visual_tokens.prune import prune_cards

        prune_cards(a)
    elif view == "horizon":
        from app.panels.visual_tokens.horizon import horizon_cards

        horizon_cards(a)
    elif view == "fragility":
        from app.panels.visual_tokens.fragility import fragility_cards

        fragility_cards(a)
    else:
        from app.panels.visual_tokens.layers import layers_cards

        layers_cards(a)
