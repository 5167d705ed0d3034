"""A side of the comparison as the run of other pages, with the chosen token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.navigation import ENTRIES, entry_of, page
from app.panels.compare import running
from app.widgets.pressed import pressed

if TYPE_CHECKING:
    from app.panels.compare.running import Shown

_READERS = tuple(entry.slug for entry in ENTRIES if entry.slug == "overview" or entry.section == "Pictures")


def read_on(on_screen: Shown) -> None:
    """Draw the choice of a side and a page."""
    with st.popover(
        "Read on other pages",
        icon=":material/menu_book:",
        type="tertiary",
        key="compare_read_on",
        help="Read a side on other pages",
    ):
        side = st.segmented_control("Side", ("A", "B"), default="A", required=True, key="side_to_read")
        st.caption("The run of this side, with the chosen token.")
        for slug in _READERS:
            if pressed(entry_of(slug).title, key=f"compare_on_{slug}", type="tertiary"):
                _open(on_screen, side, slug)


def _open(on_screen: Shown, side: str, slug: str) -> None:
    """Put a side on the other pages, as an opened run is, and go there."""
    items, item = on_screen.items, running.chosen_item(on_screen)
    trace, has, start = (
        (on_screen.c.a, items.has_a, items.start_a)
        if side == "A"
        else (on_screen.c.b, items.has_b, items.start_b)
    )
    st.session_state[state.OPENED] = trace
    if has[item]:
        st.session_state[state.TOKEN] = int(start[item])
    st.switch_page(page(slug), query_params={})
