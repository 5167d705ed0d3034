"""Clicks in charts, each taken once: a chart keeps saying its last one in every later run of the page."""

from __future__ import annotations

import streamlit as st

from app import state

_CHOICES = {"layer": state.LAYER, "head": state.HEAD}


def take_clicks(*charts: str) -> None:
    """Let the newest click in charts choose the token, the layer or the head it names; before they are drawn.

    Parameters
    ----------
    *charts : str
        Keys of charts that have a click selection called ``pick`` on ``position``, ``layer`` or ``head``.
    """
    taken = st.session_state.setdefault(state.PICKED, {})
    for key in charts:
        rows = (st.session_state.get(key) or {}).get("selection", {}).get("pick", [])
        if not rows or rows[0] == taken.get(key):
            continue
        taken[key] = picked = dict(rows[0])
        if "position" in picked:
            state.choose_token(int(picked["position"]))
        for name, choice in _CHOICES.items():
            if name in picked:
                st.session_state[choice] = int(picked[name])
