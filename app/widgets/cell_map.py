"""A map of cells in the app: a canvas on which a person looks at, zooms into and chooses a cell.

The browser gets one packed payload and answers with the cell a person picked.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from typing import Literal

import streamlit as st

from analysis.drawing.cells import Cells
from analysis.drawing.labels import spelled_all, visible
from analysis.drawing.numbers import EXACT_DIGITS
from app import state
from app.widgets.canvas import script, style
from app.widgets.token_strip import Selection, resolve

Outline = Literal["cell", "row", "column"]

_HTML = """
<div class="ls-map">
  <div class="ls-legend"></div>
  <div class="ls-view" tabindex="0" role="application" aria-roledescription="map of cells"><canvas></canvas></div>
  <div class="ls-tip" hidden></div>
  <div class="ls-live" aria-live="polite"></div>
</div>
"""

_component = st.components.v2.component(
    "logitscope.cell_map", html=_HTML, css=style("cell_map"), js=script("cell_map")
)


def _shown(texts: Sequence[str]) -> list[str]:
    return [visible(text) if text else "" for text in texts]


def map_identity(cells: Cells) -> str:
    """Short hash of the names of rows and columns: the same for the same cells, whatever their values."""
    names = json.dumps([cells.rows.names, cells.columns.names])
    return hashlib.blake2b(names.encode("utf-8", "replace"), digest_size=12).hexdigest()


def pack_cells(
    cells: Cells,
    selected: int | None = None,
    *,
    revision: int = 0,
    outline: Outline = "cell",
    height: int | None = 520,
    row_height: int = 24,
    aspect: float | None = None,
    window: tuple[int, int] | None = None,
    room: int = 0,
    column_width: int = 0,
    key: str = "",
) -> bytes:
    """Pack a map for the browser.

    Parameters
    ----------
    cells : Cells
        What to draw.
    selected : int or None
        Cell to select when ``revision`` is new to the browser: row times the number of columns, plus column.
    revision : int, default 0
        See :class:`~app.widgets.token_strip.Selection`.
    outline, height, row_height, aspect, window, room, column_width, key
        As for :func:`cell_map`.

    Returns
    -------
    bytes
        Little endian: u32 header length, header (JSON), f32 values, u8 codes, u8 whether a cell is framed if any
        can be, u8 light and dark ramp (256 x 3 each). The same input gives the same bytes.
    """
    n_rows, n_columns = cells.values.shape
    header = {
        "rows": n_rows,
        "columns": n_columns,
        "title": cells.title,
        "unit": cells.unit,
        "marks": cells.marks,
        "digits": EXACT_DIGITS,
        "missing": cells.missing,
        "row_title": cells.rows.title,
        "row_labels": _shown(cells.rows.labels),
        "row_names": spelled_all(cells.rows.names),
        "column_title": cells.columns.title,
        "column_labels": _shown(cells.columns.labels),
        "column_names": spelled_all(cells.columns.names),
        "texts": _shown(cells.texts),
        "details": spelled_all(cells.details),
        "framed": cells.outlined_name if cells.outlined is not None else "",
        "selected": selected,
        "outline": outline,
        "revision": revision,
        "height": height or 0,
        "row_height": row_height,
        "aspect": aspect or 0,
        "window": window,
        "room": room,
        "column_width": column_width,
        "key": key,
        "map_id": map_identity(cells),
    }
    head = json.dumps(header, separators=(",", ":"), sort_keys=True).encode("utf-8", "replace")
    blocks = [
        struct.pack("<I", len(head)),
        head,
        cells.values.astype("<f4").tobytes(),
        cells.codes().tobytes(),
    ]
    if header["framed"] and cells.outlined is not None:
        blocks.append(cells.outlined.astype("u1").tobytes())
    return b"".join([*blocks, cells.light.astype("u1").tobytes(), cells.dark.astype("u1").tobytes()])


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
    outline : {"cell", "row", "column"}
        What is outlined around the selected cell.
    height : int or None, default 520
        Tallest the cells may get together, in pixels; None for 60 % of the window.
    row_height : int, default 24
        Pixels of a row while there are few.
    aspect : float, optional
        Most pixels of width for one of height; the whole width by default.
    window : tuple of (int, int), optional
        Columns that another picture shows, the last one excluded: the map is a bar without axes and legend on which
        they are outlined in place of the selected cell.
    room : int, default 0
        Width from which on the legend shares its line with controls of the page; its title is left to them.
    column_width : int, default 0
        Least pixels of a column: in a narrow window only the columns around the selected cell are in sight.

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
