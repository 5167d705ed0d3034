"""Live labs: a policy and a sink collapse in front of the class."""

from __future__ import annotations

from typing import Any

from app import state
from app.choice import choose

LABS = ("four squares", "bigram-backcopy")


def live_lab(line: Any) -> None:
    """Choose a lab in the line of the heading, and draw it."""
    lab = choose("Lab", LABS, key=state.LAB, place=line, titled=False)
    if lab == LABS[0]:
        from app.panels.entropy_collapse.four_squares.view import four_squares

        four_squares(line)
    else:
        from app.panels.entropy_collapse.backcopy.view import backcopy

        backcopy(line)
