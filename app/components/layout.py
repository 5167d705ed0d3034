"""Side-by-side places that stand one below the other in a narrow window."""

from __future__ import annotations

from typing import Any

import streamlit as st


def side_by_side(name: str, widths: int | list[float]) -> list[Any]:
    """Columns that stack below 900 pixels, see ``app/narrow.css``.

    Parameters
    ----------
    name : str
        Unique short name.
    widths : int or list of float
        As in ``st.columns``.
    """
    with st.container(key=f"side_by_side_{name}"):
        return list(st.columns(widths))
