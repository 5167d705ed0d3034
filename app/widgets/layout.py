"""Where things stand: the line at the head of a page, and places that stack in a narrow window."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import streamlit as st

from app.navigation import entry_of

Align = Literal["top", "center", "bottom"]


def heading(slug: str) -> Any:
    """Draw a page's name and question in one line.

    Parameters
    ----------
    slug : str
        The page, see :data:`app.navigation.ENTRIES`.

    Returns
    -------
    container
        The line, for the one control that may stand at its end.
    """
    entry = entry_of(slug)
    line = st.container(key="heading", horizontal=True, vertical_alignment="center")
    line.title(entry.title, anchor=False, width="content")
    line.caption(entry.question, width="stretch")
    return line


def icons(name: str) -> Any:
    """Line for actions that are drawn as icons: their labels are for screen readers, their help for tooltips."""
    return st.container(key=f"icons_{name}", horizontal=True, wrap=False, width="content", gap="xxsmall")


def picture_and_choice(name: str, *, follows: bool = True) -> list[Any]:
    """Two columns: wide what is read, narrow what is chosen, always in sight.

    Below 900 pixels the second one sticks to the lower edge of the window, see ``app/style.css``.

    Parameters
    ----------
    name : str
        Unique short name.
    follows : bool, default True
        Whether the second one sticks there; not where it holds a picture or a form of its own.
    """
    with st.container(key=f"choice_{name}{'' if follows else '_below'}"):
        return list(st.columns([2.1, 1]))


def side_by_side(name: str, widths: int | list[float], align: Align = "top") -> list[Any]:
    """Columns that stack below 900 pixels, see ``app/style.css``.

    Parameters
    ----------
    name : str
        Unique short name. Those that begin with "controls" wrap instead of stacking.
    widths : int or list of float
        As in ``st.columns``.
    align : {"top", "center", "bottom"}
        Which edge the columns share.
    """
    with st.container(key=f"side_by_side_{name}"):
        return list(st.columns(widths, vertical_alignment=align))


def number_line(name: str, cells: Iterable[tuple[str, str, str]]) -> None:
    """Draw a few numbers in one line.

    Parameters
    ----------
    name : str
        Unique short name.
    cells : iterable of (str, str, str)
        Label, value with its unit, and what it means.
    """
    with st.container(key=f"numbers_{name}", horizontal=True, wrap=False, gap="medium"):
        for label, value, explanation in cells:
            st.metric(label, value, help=explanation, width="content")


def table_height(n_rows: int, most: int = 12) -> int:
    """Pixels of a table with a heading that shows up to so many rows without scrolling."""
    return 35 * min(n_rows, most) + 38
