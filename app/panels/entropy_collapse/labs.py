"""Live labs: a policy and a sink collapse in front of the class."""

from __future__ import annotations

import streamlit as st

from app import state

LABS = ("four squares", "bigram-backcopy")


def live_lab() -> None:
    """Choose a lab and draw it."""
    lab = st.segmented_control(
        "Lab",
        LABS,
        default=LABS[0],
        required=True,
        key=state.LAB,
        bind="query-params",
        label_visibility="collapsed",
    )
    if lab == LABS[0]:
        from app.panels.entropy_collapse.four_squares.view import four_squares

        four_squares()
    else:
        from app.panels.entropy_collapse.backcopy.view import backcopy

        backcopy()
