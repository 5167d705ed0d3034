"""What draws on a canvas in a browser, whatever page it stands in: the app's, a notebook's, a report's.

A view is a class of ``canvas.js`` and the files after it. ``mounted(View, root, {data, send})`` builds one inside
an element: ``data`` is a payload, ``send`` gets every choice as ``[number, revision]``; it gives back
``update({data, selected})``, where both may be left out and ``selected`` null is no choice, and ``close()``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

View = Literal["StripView", "TwinView", "MapView"]

_HERE = Path(__file__).resolve().parent
_FILES: dict[View, tuple[str, ...]] = {
    "StripView": ("strip_view",),
    "TwinView": ("strip_view", "twin_view"),
    "MapView": ("map_view",),
}
_STYLES: dict[View, str] = {"StripView": "token_strip", "TwinView": "token_strip", "MapView": "cell_map"}


def script(*names: str) -> str:
    """Shared helpers and the files of views, as one text without imports and exports: for a page that holds it itself."""
    return "".join(_read(f"{name}.js") for name in ("canvas", *names))


def style(*names: str) -> str:
    """The shared style and those of views: ``token_strip`` for one or two texts, ``cell_map`` for a map."""
    return "".join(_read(f"{name}.css") for name in ("canvas", *names))


def module(view: View) -> str:
    """JavaScript module of one view: its default export serves Streamlit and notebooks, ``mount`` everybody else."""
    own = f"export const mount = (root, options) => mounted({view}, root, options);\nexport default hosted({view});\n"
    return script(*_FILES[view], "hosts") + own


def module_style(view: View) -> str:
    """Style sheet of :func:`module`."""
    return style(_STYLES[view])


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
