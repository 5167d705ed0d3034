"""The few numbers of a comparison with their intervals, as tables: ours, and under the names that quantisers publish."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from analysis.comparison.published import SOURCE, published_rows
from analysis.comparison.summary import METHOD, Summary
from analysis.drawing.numbers import significant
from analysis.errors import AnalysisError
from app import state
from app.panels.compare import help as explained
from app.panels.compare.code import comparison_code
from app.widgets.figure_card import table_card
from app.widgets.messages import unavailable

if TYPE_CHECKING:
    from app.panels.compare.running import Shown

PUBLISHED = "Published statistics"


def summary_cards(on_screen: Shown) -> None:
    """Draw both cards."""
    c, unit = on_screen.c, state.unit()
    found = on_screen.once("summary", c.summary)
    call = f"c.summary().to_frame({unit!r})"
    _card("compare_summary", "Summary", found, METHOD, "over the compared tokens", call, explained.SUMMARY)
    try:
        found = on_screen.once("published", lambda: published_rows(c))
    except AnalysisError as problem:
        unavailable(PUBLISHED, f"{problem.message} {problem.hint}")
        return
    call = f"an.published_rows(c).to_frame({unit!r})"
    _card("published_rows", PUBLISHED, found, "Side A is the base.", "llama.cpp's names", call, SOURCE)


def _card(name: str, title: str, found: Summary, said: str, phrase: str, call: str, more: str) -> None:
    frame = found.to_frame(state.unit())
    with table_card(
        title,
        said,
        name=name,
        phrase=phrase,
        table=lambda: frame,
        code=comparison_code(call),
        more=more,
    ):
        names = frame["label"] if name == "compare_summary" else frame["name"]
        shown = pd.DataFrame(
            {
                "": names,
                "value": [significant(value) for value in frame["value"]],
                "95 % from": [_end(value) for value in frame["low"]],
                "to": [_end(value) for value in frame["high"]],
                "unit": frame["unit"],
            }
        )
        st.dataframe(shown, hide_index=True, key=f"{name}_rows", height="content")


def _end(value: float) -> str:
    return "" if value != value else significant(value)
