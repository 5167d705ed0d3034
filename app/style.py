"""Style sheets of the page, and the projector mode's on top."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import state

_HERE = Path(__file__).parent


def draw_style() -> None:
    """Put the style sheets onto the page."""
    st.html(_HERE / "style.css")
    if state.is_projector():
        st.html(_HERE / "projector.css")
        st.query_params[state.PROJECTOR] = "on"  # every page starts with an address of its own


def switch_projector() -> None:
    """Turn the projector mode on or off."""
    st.session_state[state.PROJECTOR] = not state.is_projector()
    st.query_params.pop(state.PROJECTOR, None)
