"""Strips as figures: HTML, a drawing for print, and in a notebook a strip to click on."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from analysis.drawing.strip import Strip
from analysis.drawing.strip_html import HtmlFigure, strip_html
from analysis.drawing.strip_payload import pack
from analysis.drawing.strip_svg import strip_svg
from analysis.drawing.widget import Clickable


@dataclass(frozen=True)
class DrawnFigure(HtmlFigure):
    """HTML that can be drawn as well."""

    drawn: Callable[[float], str] = field(repr=False)
    """SVG of a width in pixels."""


@dataclass(frozen=True)
class StripFigure(DrawnFigure, Clickable):
    """A token strip; ``selected`` is the token that a person chose, None while there is none."""

    strip: Strip = field(repr=False)

    view = "StripView"

    def payload(self) -> bytes:
        """The bytes that it is drawn from, under a key of its own."""
        return pack(self.strip, key=secrets.token_hex(8))

    def select(self, token: int | None) -> None:
        """Choose a token from Python; None is no choice."""
        self.widget.selected = token

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, Any]:
        return self.shown({"text/html": self.html, "text/plain": "token strip"})


def strip_figure(strip: Strip, *, theme_name: str = "light", caption: str = "") -> StripFigure:
    """Figure of a strip; arguments as for :func:`analysis.drawing.strip_html.strip_html`."""

    def drawn(width: float) -> str:
        return strip_svg(strip, width=width, theme_name=theme_name, caption=caption)

    return StripFigure(strip_html(strip, theme_name=theme_name, caption=caption), drawn, strip)
