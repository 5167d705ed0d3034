"""Figures as files for print: as wide as a column, in a shipped font, with type that stays readable.

A figure is laid out with the type of the screen on a page so wide that it fits the column when that type is as large
as :data:`LABEL_POINTS`: axes, lines and marks keep their proportions, only the ground becomes narrower.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from analysis.drawing import charts
from analysis.drawing.fonts import FOLDER, MONO, SANS
from analysis.drawing.heatmap_chart import heatmap_chart
from analysis.drawing.strip_figure import DrawnFigure
from analysis.drawing.strip_html import HtmlFigure
from analysis.drawing.theme import FONT, LABEL_SIZE, LIGHT, MONO_FONT
from analysis.errors import AnalysisError

Column = Literal["single", "middle", "double"]
COLUMNS: dict[Column, float] = {"single": 3.3, "middle": 5.0, "double": 6.9}
"""Inches of one column, of one and a half, and of a whole page."""
LABEL_POINTS = 7.0
"""Points of a label on an axis; titles of figures are larger, words in marks smaller, as on screen."""
POINTS = 72
"""Points of an inch."""
PIXELS_PER_INCH = 300
"""Of a PNG file."""
Ending = Literal["svg", "pdf", "png", "html"]
_PIXEL = LABEL_POINTS / LABEL_SIZE
_ROUNDS = 4
_COMPOSED = {"vconcat", "hconcat", "concat", "facet", "repeat", "row", "column"}
_SIZE = re.compile(r'width="([\d.]+)" height="([\d.]+)" viewBox="0 0 ([\d.]+) ([\d.]+)"')


def save(figure: Any, path: str | Path, *, width: Column | float = "single") -> Path:
    """Write a figure to a file: PDF or SVG of lines and letters, PNG of 300 pixels an inch, or HTML.

    Parameters
    ----------
    figure : Altair chart, Plotly figure or HtmlFigure
        What a function of ``analysis.figures`` gave.
    path : str or Path
        Where to; its ending, ``.pdf``, ``.svg``, ``.png`` or ``.html``, says what is written.
    width : {"single", "middle", "double"} or float, default "single"
        A column of a paper (3.3, 5.0 or 6.9 inches), or inches. HTML is as wide as its window.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    AnalysisError
        For another ending, a width below one inch or above 40, a table, which has no picture but for HTML, or a
        Plotly figure that is no heat map.

    Notes
    -----
    PDF holds its font, SVG names it: DejaVu Sans, which comes with the package. A writing that it lacks is drawn in a
    font of the machine, if that has one.
    """
    target = Path(path)
    target.write_bytes(file_of(figure, target.suffix.removeprefix(".").lower(), width=width))
    return target


def file_of(figure: Any, ending: str, *, width: Column | float = "single") -> bytes:
    """The file's content; arguments and errors as for :func:`save`."""
    if ending not in get_args(Ending):
        raise AnalysisError(
            f"a figure is not written as {ending!r}", hint="Name a .pdf, .svg, .png or .html file."
        )
    if ending == "html":
        return _html(figure)
    svg, inches = drawing(figure, width), _inches(width)
    if ending == "svg":
        return _sized(svg, inches, "in").encode()
    import vl_convert

    _register_fonts()
    page = _sized(svg, inches * POINTS, "")
    return (
        vl_convert.svg_to_pdf(page) if ending == "pdf" else vl_convert.svg_to_png(page, ppi=PIXELS_PER_INCH)
    )


def drawing(figure: Any, width: Column | float = "single") -> str:
    """SVG of a figure laid out for a width; in pixels of the screen."""
    pixels = _inches(width) * POINTS / _PIXEL
    if isinstance(figure, DrawnFigure):
        return figure.drawn(pixels)
    if isinstance(figure, HtmlFigure):
        raise AnalysisError("a table has no picture", hint="Write it as .html, or its numbers as a CSV file.")
    if type(figure).__module__.partition(".")[0] == "plotly":
        figure = heatmap_chart(figure)
    if not hasattr(figure, "to_dict"):
        raise AnalysisError(f"a {type(figure).__name__} is no figure", hint="Take one of analysis.figures.")
    return _laid_out(_for_paper(figure.to_dict()), pixels)


def _html(figure: Any) -> bytes:
    if isinstance(figure, HtmlFigure):
        return figure.document().encode()
    if type(figure).__module__.partition(".")[0] == "plotly":
        return charts.plotly_html(figure)
    raise AnalysisError("a chart is not written as HTML", hint="Take .svg, .pdf or .png.")


def _inches(width: Column | float) -> float:
    inches = COLUMNS.get(width) if isinstance(width, str) else width
    if inches is None or not 1 <= inches <= 40:
        raise AnalysisError(
            f"no figure is {width!r} wide", hint=f"Name {', '.join(COLUMNS)}, or inches from 1 to 40."
        )
    return inches


@lru_cache(maxsize=1)
def _register_fonts() -> None:
    import vl_convert

    vl_convert.register_font_directory(str(FOLDER))


def _for_paper(value: Any) -> Any:
    """A spec in the shipped fonts, on white where the screen has the ground of the light theme."""
    if isinstance(value, dict):
        return {key: inner if key == "datasets" else _for_paper(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_for_paper(inner) for inner in value]
    return (
        {FONT: SANS, MONO_FONT: MONO, LIGHT.ground: "#FFFFFF"}.get(value, value)
        if isinstance(value, str)
        else value
    )


def _laid_out(spec: dict[str, Any], pixels: float) -> str:
    """SVG of a spec as wide as asked; charts beside or in one another get the room that their axes leave."""
    composed = _COMPOSED & {*spec, *spec.get("encoding", {})}
    if not composed and not isinstance(spec.get("width"), dict):
        fit = {"autosize": {"type": "fit", "contains": "padding"}, "padding": 2, "width": pixels}
        return _vega(spec | fit)
    spec = charts.with_width(spec)
    share, before = 1.0, (0.0, 0.0)
    for _ in range(_ROUNDS):
        svg = _vega(_narrowed(spec, share))
        wide = _measured(svg)[0]
        slope = (wide - before[1]) / (share - before[0])
        if abs(wide - pixels) < 1 or slope < 1:
            break
        share, before = max(0.05, share + (pixels - wide) / slope), (share, wide)
    return svg


def _narrowed(spec: Any, share: float) -> Any:
    """A spec with every width in pixels changed by a factor."""
    if isinstance(spec, list):
        return [_narrowed(inner, share) for inner in spec]
    if not isinstance(spec, dict):
        return spec
    inside = {
        key: _narrowed(spec[key], share)
        for key in ("vconcat", "hconcat", "concat", "layer", "spec")
        if key in spec
    }
    own = {"width": spec["width"] * share} if isinstance(spec.get("width"), (int, float)) else {}
    return spec | inside | own


def _vega(spec: dict[str, Any]) -> str:
    import vl_convert

    _register_fonts()
    return vl_convert.vegalite_to_svg(spec)


def _measured(svg: str) -> tuple[float, float]:
    """Width and height of an SVG in its own pixels."""
    found = _SIZE.search(svg)
    assert found, "every drawing says its size"
    return float(found[3]), float(found[4])


def _sized(svg: str, width: float, unit: str) -> str:
    """The same drawing with a width in a unit."""
    wide, high = _measured(svg)
    size = f'width="{width:g}{unit}" height="{high * width / wide:g}{unit}" viewBox="0 0 {wide:g} {high:g}"'
    return _SIZE.sub(size, svg, count=1)
