"""What a notebook shows of a chart: a picture that needs nothing from outside."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import altair as alt
import pandas as pd
import pytest

from analysis.drawing.notebook import RENDERER, show_charts_as_pictures
from analysis.drawing.strip_html import HtmlFigure


@pytest.fixture
def chart():
    return alt.Chart(pd.DataFrame({"x": [1, 2], "y": [2, 3]})).mark_point().encode(x="x:Q", y="y:Q")


def test_a_chart_is_one_svg_of_the_width_of_a_file(chart):
    show_charts_as_pictures()
    with alt.renderers.enable(RENDERER):
        bundle = chart.properties(width="container")._repr_mimebundle_()
    assert set(bundle) == {"image/svg+xml"}
    root = ElementTree.fromstring(bundle["image/svg+xml"])
    assert float(root.get("width")) > 700
    assert "aria-label" not in bundle["image/svg+xml"], "one image: labels of its marks reach nobody"


@pytest.mark.parametrize(
    ("before", "after"), [("", RENDERER), ("alt.renderers.enable('mimetype')", "mimetype")]
)
def test_the_choice_of_a_person_stays(before, after):
    code = f"import altair as alt\n{before}\nimport analysis as an\nan.figures\nprint(alt.renderers.active)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == after


def test_html_is_not_said_twice():
    assert len(repr(HtmlFigure("<p>" * 1000))) < 100
