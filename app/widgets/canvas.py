"""What the components that draw on a canvas share: their files and the helpers in ``canvas.js``."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def script(*names: str) -> str:
    """Script of a component after the shared helpers, and after what it builds on."""
    return "".join(_read(f"{name}.js") for name in ("canvas", *names))


def style(name: str) -> str:
    """Style of a component after the shared one."""
    return _read("canvas.css") + _read(f"{name}.css")


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
