"""Style sheets of the page, the projector mode's on top, and one card alone where the address names it."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from app import state

_HERE = Path(__file__).parent
_ALONE = """<style>
:is([data-testid="stSidebar"], [data-testid="stExpandSidebarButton"], [data-testid="stHeader"]):is(*) {{ display: none; }}
[data-testid="stMainBlockContainer"]:has(.st-key-card_{name}) :is(
  [data-testid="stElementContainer"], [data-testid="stLayoutWrapper"], [data-testid="stColumn"]
):not(:has(.st-key-card_{name}), .st-key-card_{name}, .st-key-card_{name} *) {{ display: none; }}
</style>"""
"""Hides all but one card, as long as the page has it."""


def draw_style() -> None:
    """Put the style sheets onto the page."""
    st.html(_HERE / "style.css")
    if state.is_projector():
        st.html(_HERE / "projector.css")
        st.query_params[state.PROJECTOR] = "on"  # every page starts with an address of its own
    name = st.query_params.get(state.CARD, "")
    if re.fullmatch("[a-z0-9_]{1,60}", name):
        st.html(_ALONE.format(name=name))


def switch_projector() -> None:
    """Turn the projector mode on or off."""
    st.session_state[state.PROJECTOR] = not state.is_projector()
    st.query_params.pop(state.PROJECTOR, None)
