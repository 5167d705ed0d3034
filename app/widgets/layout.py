"""Side-by-side places that stand one below the other in a narrow window."""

from __future__ import annotations

from typing import Any, Literal

import streamlit as st

Align = Literal["top", "center", "bottom"]


def side_by_side(name: str, widths: int | list[float], align: Align = "top") -> list[Any]:
    """Columns that stack below 900 pixels, see ``app/narrow.css``.

    Parameters
    ----------
    name : str
        Unique short name. Those that begin with "numbers" or "controls" wrap instead of stacking.
    widths : int or list of float
        As in ``st.columns``.
    align : {"top", "center", "bottom"}
        Which edge the columns share.
    """
    with st.container(key=f"side_by_side_{name}"):
        return list(st.columns(widths, vertical_alignment=align))


def table_height(n_rows: int, most: int = 12) -> int:
    """Pixels of a table with a heading that shows up to so many rows without scrolling."""
    return 35 * min(n_rows, most) + 38
