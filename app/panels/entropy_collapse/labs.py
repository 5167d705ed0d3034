"""Live labs: a policy and a sink collapse in front of the class."""

from __future__ import annotations

from app import state
from app.choice import choose

LABS = ("four squares", "bigram-backcopy")


def live_lab() -> None:
    """Choose a lab and draw it."""
    lab = choose("Lab", LABS, key=state.LAB, titled=False)
    if lab == LABS[0]:
        from app.panels.entropy_collapse.four_squares.view import four_squares

        four_squares()
    else:
        from app.panels.entropy_collapse.backcopy.view import backcopy

        backcopy()
