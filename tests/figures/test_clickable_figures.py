"""Figures on which a notebook's reader clicks: what the notebook gets, and what is read in Python."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import analysis as an
from analysis.comparison.twin_payload import twin_identity
from analysis.drawing.cells import CellAxis, Cells
from analysis.drawing.heatmap_chart import cells_chart
from analysis.drawing.map_figure import MapFigure
from analysis.drawing.strip_figure import strip_figure
from analysis.drawing.strip_payload import text_identity
from analysis.drawing.theme import amount_ramp
from analysis.drawing.widget import WIDGET
from tests.comparisons import made_comparison
from tests.figures.synthetic import run, strip_of
from tests.visual_answers import made_answer

pytest.importorskip("anywidget")


def cells_of(values, **more):
    values = np.asarray(values, np.float32)
    ramps = {name: amount_ramp("attention_sinks", name) for name in ("light", "dark")}
    rows, columns = (
        CellAxis.numbered(title, range(n)) for title, n in zip(("head", "layer"), values.shape, strict=True)
    )
    return Cells("weight", "%", values, rows, columns, low=0.0, high=1.0, **ramps, **more)


def test_a_strip_is_shown_live_and_still():
    figure = an.figures.token_strip(run(20))
    shown = figure._repr_mimebundle_()
    assert shown["text/html"] == figure.html
    assert (
        shown[WIDGET]["model_id"] == figure.widget.model_id == figure._repr_mimebundle_()[WIDGET]["model_id"]
    )
    assert text_identity(figure.strip).encode() in figure.widget.data


def test_two_strips_of_one_text_have_places_of_their_own():
    """The browser keeps choice and scroll position under a key: strips that shared it would move together."""
    strip = strip_of(["a", "b"])
    assert strip_figure(strip).widget.data != strip_figure(strip).widget.data


def test_a_choice_goes_both_ways_and_is_told():
    heard, figure = [], strip_figure(strip_of(["a", "b", "c"]))
    figure.observe(heard.append)
    assert figure.selected is None
    figure.widget.selected = 2  # what the browser sends
    figure.select(0)
    figure.select(None)
    assert heard == [2, 0, None] and figure.selected is None


def test_a_cell_has_a_row_and_a_column():
    figure = MapFigure(cells_of(np.ones((2, 5))))
    figure.widget.selected = 7
    assert figure.selected == (1, 2), "7 is row 1, column 2 of five columns, and no row 3 of two"
    figure.select(0, 4)
    assert figure.widget.selected == 4


def test_a_choice_in_two_strips_names_the_token_of_either_side():
    """Three tokens stand before the text on side B: the fifth item is A's second token and B's fifth."""
    c = made_comparison(6, ahead=3)
    figure = an.figures.compared_strips(c)
    assert figure.selected is None
    figure.widget.selected = 4
    assert figure.selected == (1, 4)
    figure.widget.selected = 2
    assert figure.selected == (None, 2)
    shown = figure._repr_mimebundle_()
    assert shown["text/html"] == figure.html and shown[WIDGET]["model_id"] == figure.widget.model_id
    assert twin_identity(figure.twin).encode() in figure.widget.data


def test_heads_that_look_at_a_picture_are_cells_of_percent():
    a = made_answer(16)
    figure = an.figures.picture_cell_map(a, 1)
    assert figure.cells.values.shape == (a.spec.n_heads, a.spec.n_layers)
    share = float(a.looking.share_visual[1, 2, 0])  # of token, layer, head
    assert figure.cells.values[0, 2] == pytest.approx(100 * share, rel=1e-6)
    figure.select(1, 3)
    assert figure.selected == (1, 3) and figure.cells.columns.names[3] == "layer 3"


def test_the_still_map_has_the_colours_and_amounts_of_the_live_one():
    """A quarter of the last value is half of the ramp on the scale of square roots."""
    cells = cells_of([[0, 0.25, 1], [np.nan, 1, 0]], scale="square root")
    spec = cells_chart(cells).to_dict()
    picture, bar = spec["hconcat"]
    assert picture["encoding"]["y"]["scale"]["reverse"] is True
    assert '["0", "0.25", "1 %"]' in bar["encoding"]["y"]["axis"]["labelExpr"]
    assert cells.codes().tolist() == [[0, 128, 255], [0, 255, 0]]
    assert MapFigure(cells)._repr_mimebundle_()["image/svg+xml"].startswith("<svg")


def test_without_the_package_the_still_picture_is_shown_and_a_question_says_what_is_missing():
    code = (
        "import sys; sys.modules['anywidget'] = None\n"
        "from analysis.drawing.strip_figure import strip_figure\n"
        "from tests.figures.synthetic import strip_of\n"
        "figure = strip_figure(strip_of(['a']))\n"
        "print(sorted(figure._repr_mimebundle_()))\n"
        "try: figure.selected\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, told = done.stdout.splitlines()
    assert shown == "['text/html', 'text/plain']"
    assert told.startswith("AnalysisError") and "anywidget" in told
