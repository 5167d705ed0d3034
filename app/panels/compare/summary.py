"""The few numbers of a comparison with their intervals, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from analysis.comparison.summary import METHOD
from analysis.drawing.numbers import significant
from analysis.drawing.strip_html import HtmlFigure
from app import state
from app.panels.compare import help as explained
from app.panels.compare.code import comparison_code
from app.widgets.figure_card import html_card
from app.widgets.layout import table_height

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison


def summary_card(c: Comparison) -> None:
    """Draw the card."""
    unit = state.unit()
    found = _summary(id(c), c)
    frame = found.to_frame(unit)
    with html_card(
        "Summary",
        METHOD,
        lambda: HtmlFigure(frame.to_html(index=False, escape=True)),
        name="compare_summary",
        phrase="over the compared tokens",
        table=lambda: frame,
        code=comparison_code(f"c.summary().to_frame({unit!r})"),
        more=explained.SUMMARY,
    ):
        shown = pd.DataFrame(
            {
                "": frame["label"],
                "value": [significant(value) for value in frame["value"]],
                "95 % from": [_end(value) for value in frame["low"]],
                "to": [_end(value) for value in frame["high"]],
                "unit": frame["unit"],
                "tokens": frame["n"],
            }
        )
        st.dataframe(shown, hide_index=True, key="summary_frame", height=table_height(len(shown), 30))


def _end(value: float) -> str:
    return "" if value != value else significant(value)


@st.cache_resource(show_spinner=False, max_entries=8)
def _summary(_id: int, _c: Comparison):  # type: ignore[no-untyped-def]
    """Resampling a thousand texts takes a moment: once for a comparison."""
    return _c.summary()
