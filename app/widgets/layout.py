"""Side-by-side places that stand one below the other in a narrow window."""

from __future__ import annotations

from collections.abc import Sequence
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


def one_of(
    label: str,
    options: Sequence[Any],
    *,
    key: str,
    default: Any = None,
    place: Any = st,
    bare: bool = False,
    **more: Any,
) -> Any:
    """One of a few values, always one of them chosen, and kept in the URL.

    Parameters
    ----------
    label, options, key, **more
        As in ``st.segmented_control``.
    default : optional
        What is chosen first; the first option by default.
    place : container, optional
        Where to draw.
    bare : bool
        Whether the label is left to those who do not see.
    """
    return place.segmented_control(
        label,
        options,
        default=options[0] if default is None else default,
        required=True,
        key=key,
        bind="query-params",
        label_visibility="collapsed" if bare else "visible",
        **more,
    )


def table_height(n_rows: int, most: int = 12) -> int:
    """Pixels of a table with a heading that shows up to so many rows without scrolling."""
    return 35 * min(n_rows, most) + 38
