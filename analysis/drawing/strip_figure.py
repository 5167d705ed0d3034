"""Strips as figures: a page of HTML, a drawing for print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from analysis.drawing.strip import Strip
from analysis.drawing.strip_html import HtmlFigure, strip_html
from analysis.drawing.strip_svg import strip_svg


@dataclass(frozen=True)
class DrawnFigure(HtmlFigure):
    """HTML that can be drawn as well."""

    drawn: Callable[[float], str] = field(repr=False)
    """SVG of a width in pixels."""


@dataclass(frozen=True)
class StripFigure(DrawnFigure):
    """A token strip."""

    strip: Strip = field(repr=False)


def strip_figure(strip: Strip, *, theme_name: str = "light", caption: str = "") -> StripFigure:
    """Figure of a strip; arguments as for :func:`analysis.drawing.strip_html.strip_html`."""

    def drawn(width: float) -> str:
        return strip_svg(strip, width=width, theme_name=theme_name, caption=caption)

    return StripFigure(strip_html(strip, theme_name=theme_name, caption=caption), drawn, strip)
