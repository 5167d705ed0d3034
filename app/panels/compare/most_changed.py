"""The tokens that changed most; a row chooses its token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from analysis.comparison.most_changed import most_changed
from analysis.comparison.quantities import COMPARED_QUANTITIES, quantities_between
from analysis.drawing.labels import visible
from app import state
from app.panels.compare import help as explained
from app.panels.compare import running
from app.panels.compare.code import comparison_code
from app.widgets.figure_card import table_card
from app.widgets.layout import table_height

if TYPE_CHECKING:
    from app.panels.compare.running import Shown

_ROWS, _SEEN = 40, 7


def most_changed_card(on_screen: Shown) -> None:
    """Draw the card."""
    c, unit = on_screen.c, state.unit()
    there = list(quantities_between(c))
    named = st.session_state.get(state.CHANGED_BY)
    by = named if named in there else there[0]
    frame = most_changed(c, by, _ROWS, unit=unit)
    with table_card(
        "Most changed",
        "A row chooses its token.",
        name="most_changed",
        table=lambda: frame,
        code=comparison_code(f"an.most_changed(c, by={by!r}, n={_ROWS}, unit={unit!r})"),
        more=explained.CHANGED,
    ):
        st.selectbox(
            "Sorted by",
            there,
            key=state.CHANGED_BY,
            bind="query-params",
            persist_state="session",
            label_visibility="collapsed",
            format_func=lambda name: f"by {COMPARED_QUANTITIES[name].label}",
        )
        if st.session_state[state.CHANGED_BY] != by:
            st.rerun()  # first said by the address
        shown = _shown(frame, by, unit)
        st.dataframe(
            shown,
            hide_index=True,
            key=state.CHANGED_TABLE,
            height=table_height(len(shown), _SEEN),
            on_select="rerun",
            selection_mode="single-row",
            column_config={
                "token": st.column_config.TextColumn(width=92),
                **{
                    name: st.column_config.NumberColumn(format="%.3g", width=58)
                    for name in shown.columns
                    if name not in ("token", "at")
                },
                "at": st.column_config.NumberColumn(width=44),
            },
        )
    pair = "pair" in frame
    numbers = frame["pair" if pair else "span"].tolist()
    st.session_state[state.CHANGED_ROWS] = [on_screen.items.item_of(number, pair=pair) for number in numbers]


def take_row() -> None:
    """Let a newly selected row choose its token, before anything is drawn; each selection counts once."""
    rows = (st.session_state.get(state.CHANGED_TABLE) or {}).get("selection", {}).get("rows", [])
    taken, items = st.session_state.setdefault(state.PICKED, {}), st.session_state.get(state.CHANGED_ROWS, [])
    row = rows[0] if rows and rows[0] < len(items) else None
    if row is not None and row != taken.get(state.CHANGED_TABLE) and items[row] is not None:
        running.choose_item(items[row])
    taken[state.CHANGED_TABLE] = row


def _shown(frame: pd.DataFrame, by: str, unit: str) -> pd.DataFrame:
    """What the card has room for: place, token, both surprisals, and what it is sorted by."""
    column = by if by in frame else f"{by}_{unit}"
    place = "position_a" if "position_a" in frame else "span"
    return pd.DataFrame(
        {
            "at": frame[place],
            "token": [visible(text) for text in frame["token"]],
            "A": frame[f"surprisal_a_{unit}"],
            "B": frame[f"surprisal_b_{unit}"],
            "Δ": frame[column],
        }
    )
