"""An X-ray of one run: the text, two pictures over layers, what methods keep, and the chosen token's story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.story.strips import COLOURS, Colour, story_strip, with_attending
from app import one_choice, state
from app.choice import choose
from app.panels.overview.background import lens_of, survival_of, token_attention_of
from app.panels.overview.keeps import keeps
from app.panels.overview.layers import more_about, over_layers, take_clicks
from app.panels.overview.story import story
from app.widgets.layout import picture_and_choice, side_by_side
from app.widgets.token_strip import picked_token, token_strip

if TYPE_CHECKING:
    from analysis.results.trace import Trace

_STRIP_HEIGHT = 440


def colour_switch(line: Any, trace: Trace) -> Colour:
    """What colours the text, at the end of the heading's line."""
    names = [name for name in COLOURS if trace.attention is not None or name in COLOURS[:2]]
    chosen: Colour = choose("Colour", names, key=state.XRAY_COLOUR, place=line, titled=False)
    return chosen


@st.fragment
def xray(trace: Trace, colour: Colour) -> None:
    """Draw the run and the chosen token; a choice draws this again and nothing else."""
    between, lens, survived = (
        token_attention_of(trace),
        lens_of(trace),
        survival_of(trace),
    )  # in the order of their price
    take_clicks()
    left, right = picture_and_choice("xray")
    with left:
        position = _text(trace, colour, between.value, survived.value)
        over, kept = side_by_side("xray", [1.85, 1])
        with over:
            over_layers(trace)
        with kept:
            keeps(trace, position, survived)
    with right:
        story(trace, position, lens, between, survived)


def _text(trace: Trace, colour: Colour, between: Any, survived: Any) -> int:
    """The strip; gives the chosen token."""
    strip = story_strip(trace, colour, survived, unit=state.unit())
    before = one_choice.chosen_token(trace.tokens)
    chosen = picked_token(strip, key="overview_strip", selected=before)
    position = before if chosen is None else chosen
    if between is not None:
        strip = with_attending(strip, between, position)
    with st.container(border=True, key="panel_text"):
        token_strip(strip, key="overview_strip", selected=before, height=_STRIP_HEIGHT)
        with st.container(key="overview_more"):
            more_about("token_entropy")
    one_choice.choose_token(position)
    return position
