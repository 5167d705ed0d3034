"""Four squares: the curves of runs that grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.widgets.figure_card import show_chart
from app.widgets.layout import side_by_side

if TYPE_CHECKING:
    from analysis.entropy_collapse.labs.four_squares.figures import Quantity
    from analysis.entropy_collapse.labs.four_squares.results import LabRun

_LIVE: tuple[tuple[Quantity, str], ...] = (
    ("forks", "Entropy at forks"),
    ("followers", "Entropy at followers"),
    ("reward", "Reward"),
    ("distinct", "Different right answers"),
)


def live(drawn: list[LabRun]) -> Callable[[list[LabRun]], None]:
    """Give what draws runs that grow, over those that are done.

    Parameters
    ----------
    drawn : list of LabRun
        Drawn beside them.
    """
    from analysis.entropy_collapse.labs.four_squares.figures import lab_curve

    def draw(growing: list[LabRun]) -> None:
        known = {run.settings.key: run for run in (*drawn, *growing)}
        frame = st.container(border=True, key="card_squares_live")
        with frame:
            columns = [*side_by_side("squares_live", 2), *side_by_side("squares_live_below", 2)]
        for place, (quantity, title) in zip(columns, _LIVE, strict=True):
            chart = lab_curve(
                list(known.values()), quantity, unit=state.unit(), theme_name=state.theme_name()
            )
            show_chart(chart, place=place, alt=f"{title} over steps", key=f"squares live {quantity}")

    return draw
