"""Both sides along the text, and change against change; a click in either chooses the token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis import figures
from analysis.comparison.figures import along_panels, compared_frame
from analysis.comparison.quantities import COMPARED_QUANTITIES, quantities_between
from analysis.drawing.charts import styled
from app import state
from app.panels.compare import help as explained
from app.panels.compare import running
from app.panels.compare.code import comparison_code
from app.widgets.clicks import take_click
from app.widgets.figure_card import altair_card

if TYPE_CHECKING:
    from app.panels.compare.running import Shown

_FIRST = "kl_ab"
"""What the lower curve shows first."""


def take_clicks() -> None:
    """Let the newest click in a chart of the page choose its token, before anything is drawn."""
    for chart in (state.COMPARE_ALONG, state.COMPARE_BELOW, state.COMPARE_QUADRANTS):
        take_click(chart, running.choose_position)


def chosen_position(on_screen: Shown) -> int | None:
    """The chosen item's token of the side that is drawn as A; None where that has none."""
    items, item = on_screen.items, running.chosen_item(on_screen)
    return int(items.start_a[item]) if items.has_a[item] else None


def along_card(on_screen: Shown) -> None:
    """Draw the card of the curves."""
    c, unit, theme_name, token = on_screen.c, state.unit(), state.theme_name(), chosen_position(on_screen)
    there = list(quantities_between(c))
    named = st.session_state.get(state.ALONG_QUANTITY)
    first = _FIRST if _FIRST in there else there[0]
    quantity = named if named in there else first
    log = bool(st.session_state.get(state.ALONG_LOG))
    with altair_card(
        "Along the text",
        "Lines: both sides before each token. Below: how far apart they are. Dotted: where the texts part.",
        lambda: figures.compared_along(c, quantity, unit=unit, theme_name=theme_name, log=log, token=token),
        alt="Both sides along the text, and the difference below",
        name="compared_along",
        table=lambda: compared_frame(c, on_screen.items, unit),
        code=comparison_code(f"an.figures.compared_along(c, {quantity!r}, unit={unit!r}, log={log})"),
        more=explained.ALONG,
    ) as draw:
        with st.container(key="along_controls", horizontal=True, vertical_alignment="center", gap="small"):
            st.selectbox(
                "Below",
                there,
                index=there.index(first),
                key=state.ALONG_QUANTITY,
                bind="query-params",
                persist_state="session",
                label_visibility="collapsed",
                format_func=lambda name: COMPARED_QUANTITIES[name].label,
                width=210,
            )
            st.toggle("Logarithmic", key=state.ALONG_LOG, bind="query-params", persist_state="session")
        if (st.session_state[state.ALONG_QUANTITY], st.session_state[state.ALONG_LOG]) != (quantity, log):
            st.rerun()  # first said by the address
        upper, lower = along_panels(
            c, quantity, unit=unit, theme_name=theme_name, log=log, token=token, pick=True
        )
        pick = {"on_select": "rerun", "selection_mode": "pick"}
        draw(styled(upper, theme_name), key=state.COMPARE_ALONG, **pick)
        draw(styled(lower, theme_name), key=state.COMPARE_BELOW, **pick)


def quadrants_card(on_screen: Shown) -> None:
    """Draw the card of change against change."""
    c, unit, theme_name = on_screen.c, state.unit(), state.theme_name()
    with altair_card(
        "Quadrants",
        "Each mark is a token, B against A.",
        lambda: figures.change_quadrants(
            c, unit=unit, theme_name=theme_name, token=chosen_position(on_screen)
        ),
        alt="Change of entropy against change of surprisal, the chosen token outlined",
        key=state.COMPARE_QUADRANTS,
        name="change_quadrants",
        table=lambda: compared_frame(c, on_screen.items, unit),
        code=comparison_code(f"an.figures.change_quadrants(c, unit={unit!r})"),
        more=explained.QUADRANTS,
    ) as draw:
        draw(on_select="rerun", selection_mode="pick")
