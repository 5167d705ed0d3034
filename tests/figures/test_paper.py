"""Figures for print, read back out of the files: width, letters, fonts, pixels."""

from __future__ import annotations

import io
import re

import altair as alt
import numpy as np
import pandas as pd
import pypdf
import pytest
from PIL import Image

import analysis as an
from analysis.drawing import paper
from analysis.drawing.fonts import MONO, SANS, width_of
from analysis.drawing.heatmap_chart import coloured, heatmap_chart, png
from analysis.drawing.strip_html import HtmlFigure
from analysis.errors import AnalysisError
from tests.comparisons import made_comparison
from tests.figures.synthetic import run, strip_of

FIGURES = {
    "layers of one chart": lambda: an.figures.along_text(run(60)),
    "charts under one another": lambda: an.figures.compared_along(made_comparison(24)),
    "heat map": lambda: an.figures.lens_heatmap(run(60)),
    "strip": lambda: an.figures.token_strip(run(60)),
    "two strips": lambda: an.figures.compared_strips(made_comparison(24)),
}
WORDS = {
    "layers of one chart": ("token", "nats", "surprisal"),
    "charts under one another": ("nats",),
    "heat map": ("layer", "token", "nats"),
    "strip": ("alpha·beta", "nats", "entropy"),
    "two strips": ("A and B: surprisal", "nats"),
}


def page_of(data):
    (page,) = pypdf.PdfReader(io.BytesIO(data)).pages
    return page


def fonts_of(page):
    for font in page["/Resources"]["/Font"].values():
        (inner,) = font.get_object()["/DescendantFonts"]
        described = inner.get_object()["/FontDescriptor"].get_object()
        yield described["/FontName"].partition("+")[2], "/FontFile2" in described


@pytest.mark.parametrize("name", FIGURES)
def test_a_pdf_is_as_wide_as_asked_and_its_letters_are_in_it(name, tmp_path):
    page = page_of(an.figures.save(FIGURES[name](), tmp_path / "a.pdf", width="single").read_bytes())
    assert float(page.mediabox.width) / 72 == pytest.approx(3.3, abs=0.005)
    said = " ".join(page.extract_text().split())
    assert all(word.lower() in said.lower() for word in WORDS[name]), said
    fonts = dict(fonts_of(page))
    assert fonts and {*fonts} <= {"DejaVuSans", "DejaVuSansMono"} and all(fonts.values())


@pytest.mark.parametrize("name", ["layers of one chart", "charts under one another", "heat map"])
@pytest.mark.parametrize("width", ["single", "double"])
def test_a_label_has_seven_points(name, width):
    """Fitting the finished drawing to the column, as a plain picture is, would leave half of that."""
    svg = paper.file_of(FIGURES[name](), "svg", width=width).decode()
    (inches, whole) = re.search(r'width="([\d.]+)in".*?viewBox="0 0 ([\d.]+) ', svg).groups()
    sizes = {float(size) for size in re.findall(r'font-size="([\d.]+)(?:px)?"', svg)}
    assert float(inches) == paper.COLUMNS[width]
    assert 12 in sizes and 12 * float(inches) * 72 / float(whole) == pytest.approx(7, rel=0.02)
    assert SANS in svg and "system-ui" not in svg


def test_a_png_has_three_hundred_pixels_an_inch(tmp_path):
    with Image.open(an.figures.save(FIGURES["strip"](), tmp_path / "a.PNG", width=2.0)) as image:
        assert image.width == 600 and image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_a_letter_beyond_latin_is_read_back():
    chart = alt.Chart(pd.DataFrame({"x": [1.0]})).mark_point().encode(x=alt.X("x:Q", title="λ of ℓ₂"))
    assert "λ of ℓ₂" in page_of(paper.file_of(chart, "pdf")).extract_text()


@pytest.mark.parametrize(
    ("figure", "ending", "width", "told"),
    [
        (HtmlFigure("<table></table>"), "pdf", "single", "a table has no picture"),
        (strip_of(["a"]), "pdf", "single", "a Strip is no figure"),
        (HtmlFigure(""), "eps", "single", "not written as 'eps'"),
        (HtmlFigure(""), "svg", "triple", "no figure is 'triple' wide"),
        (HtmlFigure(""), "svg", 0.5, "no figure is 0.5 wide"),
        (alt.Chart(), "html", "single", "a chart is not written as HTML"),
    ],
)
def test_what_cannot_be_written_is_told(figure, ending, width, told):
    with pytest.raises(AnalysisError, match=told) as error:
        paper.file_of(figure, ending, width=width)
    assert error.value.hint


def test_the_shipped_fonts_are_measured():
    """Advances of DejaVu 2.37 over its 2048 units: i 569, W 2025, lambda 1212; every one of the other font 1233."""
    assert width_of("iWλ", 10) == pytest.approx(10 * (569 + 2025 + 1212) / 2048)
    assert width_of("iW", 10, MONO) == pytest.approx(20 * 1233 / 2048)


def test_the_image_of_a_heat_map_has_its_colours():
    shares = np.array([[0.0, 0.25, 1.0], [np.nan, 2.0, -1.0]])
    pixels = coloured(shares, [(0.0, "#ffffff"), (0.5, "#808080"), (1.0, "#ff0000")])
    assert pixels[0].tolist() == [[255, 255, 255, 255], [192, 192, 192, 255], [255, 0, 0, 255]]
    assert pixels[1, 0, 3] == 0 and pixels[1, 1].tolist() == pixels[0, 2].tolist()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)


def test_a_heat_map_keeps_its_axes():
    """Layer 0 at the bottom as in the figure on screen, and labels at the cells of their tokens."""
    trace = run(60, lens=(0, 2, 4))
    figure = an.figures.lens_heatmap(trace, first=10, last=40)
    cells = heatmap_chart(figure).hconcat[0].to_dict()
    (image,) = cells["datasets"].values() if "datasets" in cells else (cells["data"]["values"],)
    assert (image[0]["x"], image[0]["x2"], image[0]["y"], image[0]["y2"]) == (-0.5, 29.5, -0.5, 2.5)
    axis = cells["encoding"]["x"]["axis"]
    assert axis["values"] == [0, 5, 10, 15, 20, 25] and '["10", "15", "20"' in axis["labelExpr"]
    layers = cells["encoding"]["y"]["axis"]
    assert layers["values"] == [0, 1, 2] and '["0", "2", "4"]' in layers["labelExpr"]
