"""What strip and curve mark: forking tokens, SRGen's triggers, high-entropy windows, as a person sets them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from analysis.token_entropy import measures
from analysis.token_entropy.strips import MARKS
from app import state
from app.choice import choose
from app.panels.token_entropy import help as explained

_WINDOW, _PERCENTILE = 4, 95
_KEPT: dict[str, Any] = {"bind": "query-params", "persist_state": "session"}
"""In the address, and while another view is drawn."""


def forking_share() -> float:
    """Share of the tokens that are called forking."""
    return float(st.session_state.get(state.FORKING_SHARE, measures.FORKING_SHARE))


def trigger_rule() -> tuple[int, float]:
    """Tokens before and standard deviations of SRGen's trigger rule."""
    window = st.session_state.get(state.TRIGGER_WINDOW, measures.TRIGGER_WINDOW)
    factor = st.session_state.get(state.TRIGGER_FACTOR, measures.TRIGGER_FACTOR)
    return int(window), float(factor)


def window_rule() -> tuple[int, int]:
    """Tokens of an entropy window, and the percentile that it has to reach."""
    width = st.session_state.get(state.WINDOW_WIDTH, _WINDOW)
    return int(width), int(st.session_state.get(state.WINDOW_PERCENTILE, _PERCENTILE))


def chosen_marks() -> dict[str, Any]:
    """What the strip's triangles mark, as arguments of :func:`analysis.token_entropy.strips.marked_tokens`."""
    mark, share, (window, factor) = st.session_state.get(state.MARK), forking_share(), trigger_rule()
    if mark in MARKS[1:]:
        return {"mark": mark, "window": window, "factor": factor}
    return {} if share == measures.FORKING_SHARE else {"share": share}


def mark_controls() -> None:
    """Draw the controls, folded. What they say first, from the address, is drawn in another run of the page."""
    before = chosen_marks(), window_rule(), st.session_state.get(state.SHOW_WINDOWS, False)
    with st.popover("Marks", key="marks"):
        choose("Triangles mark", MARKS, key=state.MARK, persist_state="session")
        left, right = st.columns(2)
        # Floats, because Streamlit fails on a link with an infinite whole number.
        left.number_input(
            "SRGen: tokens before",
            2.0,
            200.0,
            float(measures.TRIGGER_WINDOW),
            1.0,
            "%.0f",
            key=state.TRIGGER_WINDOW,
            **_KEPT,
        )
        right.number_input(
            "SRGen: standard deviations",
            0.0,
            20.0,
            measures.TRIGGER_FACTOR,
            0.5,
            key=state.TRIGGER_FACTOR,
            **_KEPT,
        )
        st.slider(
            "Forking tokens: share with the highest entropy",
            0.05,
            0.5,
            measures.FORKING_SHARE,
            0.05,
            key=state.FORKING_SHARE,
            **_KEPT,
        )
        st.toggle(
            "Underline high-entropy windows",
            key=state.SHOW_WINDOWS,
            **_KEPT,
            help=explained.WINDOWS,
        )
        st.number_input(
            "Entropy window, tokens",
            1.0,
            64.0,
            float(_WINDOW),
            1.0,
            "%.0f",
            key=state.WINDOW_WIDTH,
            **_KEPT,
        )
        st.slider("Percentile of all windows", 50, 99, _PERCENTILE, key=state.WINDOW_PERCENTILE, **_KEPT)
    if before != (chosen_marks(), window_rule(), st.session_state[state.SHOW_WINDOWS]):
        st.rerun()
