"""The payload of a map of cells, and which cell is selected."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from analysis.drawing.map_payload import map_identity, pack_cells
from app.widgets.cell_map import wanted_cell
from tests.figures.test_cells import cells_of
from tests.patience import PATIENCE


def unpack_cells(payload: bytes) -> dict[str, Any]:
    """Read a payload the way the browser does."""
    (length,) = struct.unpack_from("<I", payload)
    out: dict[str, Any] = json.loads(payload[4 : 4 + length])
    at, shape = 4 + length, (out["rows"], out["columns"])

    def take(kind: str, *shape: int) -> np.ndarray:
        nonlocal at
        array = np.frombuffer(payload, kind, int(np.prod(shape)), at).reshape(shape)
        at += array.nbytes
        return array

    out["values"], out["codes"] = take("<f4", *shape), take("u1", *shape)
    out["frames"] = take("u1", *shape) if out["framed"] else None
    out["light"], out["dark"] = take("u1", 256, 3), take("u1", 256, 3)
    assert at == len(payload), "nothing may be left over"
    return out


def test_payload_round_trip() -> None:
    values = [[np.nan, 0.25, 1], [0.5, 0, 2]]
    frames = np.array([[0, 1, 0], [0, 0, 1]], bool)
    texts = (" a", "語", "\n", "", "<b>", "x")
    cells = cells_of(values, texts=texts, outlined=frames, outlined_name="same")
    payload = pack_cells(cells, 4, revision=3, outline="row", height=300, aspect=1.5, key="k")
    read = unpack_cells(payload)
    np.testing.assert_array_equal(read["values"], np.float32(values))
    np.testing.assert_array_equal(read["codes"], [[0, 128, 255], [180, 0, 255]])
    np.testing.assert_array_equal(read["frames"], frames)
    np.testing.assert_array_equal(read["light"], cells.light)
    np.testing.assert_array_equal(read["dark"], cells.dark)
    assert read["texts"] == ["·a", "語", "↵", "", "<b>", "x"]
    assert read["row_names"] == ["query 0", "query 1"] and read["column_labels"] == ["0", "1", "2"]
    assert read["marks"] == ["0", "0.25", "1 % and more"]
    assert (read["selected"], read["revision"], read["outline"]) == (4, 3, "row")
    assert (read["height"], read["aspect"], read["key"]) == (300, 1.5, "k")
    assert payload == pack_cells(cells, 4, revision=3, outline="row", height=300, aspect=1.5, key="k")


def test_a_bar_names_the_columns_in_its_window_and_a_height_may_be_left_to_the_browser() -> None:
    read = unpack_cells(
        pack_cells(cells_of([[0, 1, 2]]), window=(1, 3), room=600, column_width=46, height=None)
    )
    assert (read["window"], read["room"], read["height"]) == ([1, 3], 600, 0)
    assert read["column_width"] == 46
    read = unpack_cells(pack_cells(cells_of([[0, 1, 2]])))
    assert (read["window"], read["room"], read["height"]) == (None, 0, 520)


def test_a_large_map_has_five_bytes_a_cell() -> None:
    side = 512
    payload = pack_cells(cells_of(np.zeros((side, side))))
    assert 5 * side**2 < len(payload) < 5 * side**2 + 80 * side


def test_identity_is_that_of_the_names() -> None:
    assert map_identity(cells_of([0, 1])) == map_identity(cells_of([1, 0], scale="log"))
    assert map_identity(cells_of([0, 1])) != map_identity(cells_of([[0], [1]]))


@pytest.mark.parametrize(
    ("selected", "current", "cell"),
    [
        (None, 4, None),
        ((1, 2), None, 5),
        ((1, None), 2, 5),  # the column stays
        ((None, 0), 5, 3),
        ((1, None), None, 3),
        ((2, 0), None, None),  # there are two rows
        ((0, -1), None, None),
    ],
)
def test_what_is_left_open_stays(selected, current, cell) -> None:
    assert wanted_cell(selected, current, 2, 3) == cell


def _demo() -> None:
    import streamlit as st

    from app.widgets.cell_map import cell_map, picked_cell
    from tests.figures.test_cells import cells_of

    row = st.session_state.get("row", 1)
    st.text(f"new: {picked_cell('m', 2, 3)}")
    st.text(f"picked: {cell_map(cells_of([[0, 1, 2], [3, 4, 5]]), key='m', selected=(row, None))}")


def test_python_and_the_person_take_turns() -> None:
    at = AppTest.from_function(_demo, default_timeout=PATIENCE).run()
    assert [text.value for text in at.text] == ["new: None", "picked: (1, 0)"]
    at.session_state["m"] = {"cell": [2, 0]}
    assert [text.value for text in at.run().text] == ["new: (0, 2)", "picked: (0, 2)"], "a person's pick wins"
    at.session_state["row"] = 0
    assert at.run().text[1].value == "picked: (0, 2)", "Python follows it and changes nothing"
    assert at.text[0].value == "new: None", "a pick is new once"
    at.session_state["row"] = 1
    assert at.run().text[1].value == "picked: (1, 2)", "Python chooses another row; the column stays"
    at.session_state["m"] = {"cell": [0, 0]}
    assert at.run().text[0].value == "new: None", "it was picked before Python chose"
