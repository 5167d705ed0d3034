"""The scales of a map of cells: which colour a value gets, and what the legend says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analysis.drawing.cells import CELL_SCALES, CellAxis, Cells
from analysis.drawing.theme import amount_ramp


def cells_of(values: Any, **more: Any) -> Cells:
    values = np.atleast_2d(np.asarray(values, "f4"))
    base = {
        "title": "Weight",
        "unit": "%",
        "values": values,
        "rows": CellAxis.numbered("query", range(values.shape[0])),
        "columns": CellAxis.numbered("key", range(values.shape[1])),
        "low": 0.0,
        "high": 1.0,
        "light": amount_ramp("attention_sinks", "light"),
        "dark": amount_ramp("attention_sinks", "dark"),
    }
    return Cells(**{**base, **more})


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("linear", [0, 0.01, 0.25, 1]),
        ("square root", [0, 0.1, 0.5, 1]),
        ("log", [0, 0.5, 1 + np.log10(0.25) / 4, 1]),  # four powers of ten: 0.01 lies in their middle
    ],
)
def test_places_on_the_ramp(scale, expected):
    cells = cells_of([0, 0.01, 0.25, 1], scale=scale)
    np.testing.assert_allclose(cells.shares()[0], expected, atol=1e-7)
    np.testing.assert_allclose(cells.codes()[0], 255 * np.array(expected), atol=0.51)


@pytest.mark.parametrize("scale", CELL_SCALES)
@pytest.mark.parametrize(("low", "high"), [(0, 0.35), (0.2, 7), (-3, 3)])
def test_the_legend_says_the_value_of_its_colour(scale, low, high):
    if scale == "log" and low < 0:
        with pytest.raises(ValueError, match="no log scale"):
            cells_of([0], scale=scale, low=low, high=high)
        return
    shares = np.array([0.1, 0.5, 0.7, 1])
    values = [cells_of([0], scale=scale, low=low, high=high).value_at(share) for share in shares]
    np.testing.assert_allclose(
        cells_of(values, scale=scale, low=low, high=high).shares()[0], shares, atol=1e-6
    )


def test_square_root_of_signed_values_is_even_about_zero():
    cells = cells_of([-4, -1, 0, 1, 4], low=-4, high=4)
    np.testing.assert_allclose(cells.shares()[0], [0, 0.25, 0.5, 0.75, 1])
    assert cells.marks == ("−4", "0", "+4 %")


def test_a_capped_scale_says_so():
    assert cells_of([0.07, 0.35], high=0.07).marks == ("0", "0.0175", "0.07 % and more")
    assert not cells_of([0.01, 0.07], high=np.float32(0.07)).capped, "its own largest value is not beyond it"
    assert cells_of([0, 1], scale="log", unit="").marks == ("0.0001 and less", "0.01", "1")


def test_no_value_is_neither_dark_nor_light():
    cells = cells_of([[np.nan, 1], [0, np.inf]])
    assert np.isnan(cells.shares()[0, 0]) and cells.codes().tolist() == [[0, 255], [0, 255]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": CellAxis.numbered("query", range(2))},
        {"columns": CellAxis("key", ("0", "1"), ("key 0",))},
        {"texts": ("a",)},
        {"outlined": np.zeros((2, 1), bool)},
        {"high": 0.0},
        {"low": np.nan},
    ],
)
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match=r"cells with|scale goes"):
        cells_of([0, 1], **wrong)
