"""The map of cells as the bytes that a browser draws it from."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from typing import Literal

from analysis.drawing.cells import Cells
from analysis.drawing.labels import spelled_all, visible
from analysis.drawing.numbers import EXACT_DIGITS

Outline = Literal["cell", "row", "column"]


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
        Counts the times the host asked for a selection; it comes back with every choice.
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
    key : str, default ""
        Name under which the browser remembers selection and zoom.

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
