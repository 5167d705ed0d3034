"""Clicks in charts, each taken once: a chart keeps saying its last one in every later run of the page."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import one_choice, state


def take_click(chart: str, then: Callable[[int], None] = one_choice.choose_token) -> None:
    """Let the newest click in a chart choose the token that it names, before the chart is drawn.

    Parameters
    ----------
    chart : str
        Key of :mod:`app.state` of a chart that has a click selection called ``pick`` on ``position``.
    then : callable
        Chooses the token at a position.
    """
    rows = (st.session_state.get(chart) or {}).get("selection", {}).get("pick", [])
    taken = st.session_state.setdefault(state.PICKED, {})
    if rows and rows[0] != taken.get(chart):
        taken[chart] = dict(rows[0])
        then(int(rows[0]["position"]))
