"""A map of cells in the app: a canvas on which a person looks at, zooms into and chooses a cell.

The browser gets one packed payload and answers with the cell a person picked.
"""

from __future__ import annotations

import streamlit as st

from analysis.drawing.browser import module, module_style
from analysis.drawing.cells import Cells
from analysis.drawing.map_payload import Outline, map_identity, pack_cells
from app import state
from app.widgets.token_strip import Selection, resolve

_component = st.components.v2.component(
    "logitscope.cell_map", css=module_style("MapView"), js=module("MapView")
)


def wanted_cell(
    selected: tuple[int | None, int | None] | None, current: int | None, n_rows: int, n_columns: int
) -> int | None:
    """Cell that Python asks for; what it leaves open stays as it is now, or is 0.

    Parameters
    ----------
    selected : tuple of (row, column) or None
        Either may be None; a row or column that is not there asks for nothing.
    current : int or None
        The cell selected now.
    n_rows, n_columns : int
        Shape of the map.
    """
    if selected is None or selected == (None, None):
        return None
    before = (0, 0) if current is None else divmod(current, n_columns)
    row, column = (old if new is None else int(new) for new, old in zip(selected, before, strict=True))
    return row * n_columns + column if 0 <= row < n_rows and 0 <= column < n_columns else None


def picked_cell(key: str, n_rows: int, n_columns: int) -> tuple[int, int] | None:
    """The cell that a person picked since the map was drawn last, before it is drawn again; None without a new pick.

    Parameters
    ----------
    key : str
        As for :func:`cell_map`.
    n_rows, n_columns : int
        Shape of the map as it was drawn.
    """
    raw = (st.session_state.get(key) or {}).get("cell")
    before: Selection = st.session_state.get(state.strip_selection(key), Selection())
    if raw is None or raw == before.raw:
        return None
    now = resolve(before, raw, None, before.text_id, n_rows * n_columns).current
    return None if now is None or now == before.current else divmod(now, n_columns)


def cell_map(
    cells: Cells,
    *,
    key: str,
    selected: tuple[int | None, int | None] | None = None,
    outline: Outline = "cell",
    height: int | None = 520,
    row_height: int = 24,
    aspect: float | None = None,
    window: tuple[int, int] | None = None,
    room: int = 0,
    column_width: int = 0,
) -> tuple[int, int] | None:
    """Draw a map and return the selected cell.

    Parameters
    ----------
    cells : Cells
        What to draw.
    key : str
        Streamlit key; keeps selection and zoom over reruns and other colours.
    selected : tuple of (row, column), optional
        Cell to select; None in place of the row or the column leaves that one to the person. It acts when it
        changes; a person's later pick wins until it changes again.
    outline, height, row_height, aspect, window, room, column_width
        As for :func:`~analysis.drawing.map_payload.pack_cells`.

    Returns
    -------
    tuple of (row, column), or None
        The cell selected now, None while there is none.
    """
    n_rows, n_columns = cells.values.shape
    n, map_id = n_rows * n_columns, map_identity(cells)
    raw = (st.session_state.get(key) or {}).get("cell")
    before: Selection = st.session_state.get(state.strip_selection(key), Selection())
    kept = before.current if before.text_id == map_id else None
    wanted = wanted_cell(selected, kept, n_rows, n_columns)
    now = resolve(before, raw, wanted, map_id, n)
    payload = pack_cells(
        cells,
        now.sent,
        revision=now.revision,
        outline=outline,
        height=height,
        row_height=row_height,
        aspect=aspect,
        window=window,
        room=room,
        column_width=column_width,
        key=key,
    )
    result = _component(key=key, data=payload, default={"cell": None}, on_cell_change=lambda: None)
    now = resolve(now, result.get("cell"), wanted, map_id, n)
    st.session_state[state.strip_selection(key)] = now
    return None if now.current is None else divmod(now.current, n_columns)
