"""A figure on which a person clicks, in a notebook: what the app draws, with the choice told to Python.

Only here is anywidget imported, and only when a notebook shows such a figure or asks what is chosen in it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from analysis.drawing.browser import View, module, module_style
from analysis.errors import AnalysisError

WIDGET = "application/vnd.jupyter.widget-view+json"
"""Media type by which a notebook finds a live widget."""


class Clickable:
    """A figure that a notebook draws with the app's script; what is chosen in it is a number until a figure names it."""

    view: View
    """What draws it."""

    def payload(self) -> bytes:
        """The bytes that it is drawn from."""
        raise NotImplementedError

    @property
    def widget(self) -> Any:
        """The live widget, made when it is first asked for.

        Raises
        ------
        AnalysisError
            Without the package anywidget.
        """
        made = self.__dict__.get("_widget")
        if made is None:
            made = self.__dict__["_widget"] = _widget_class(self.view)(data=self.payload())
        return made

    def observe(self, run: Callable[[Any], Any]) -> None:
        """Call a function with what is chosen, each time that changes; None is no choice."""
        self.widget.observe(lambda _change: run(self.selected), names="selected")

    @property
    def selected(self) -> Any:
        """What is chosen now."""
        return self.widget.selected

    def shown(self, still: dict[str, str]) -> dict[str, Any]:
        """What a notebook gets to show: a still picture, for readers without a kernel, and the live one if there is one."""
        if find_spec("anywidget") is None:
            return {**still}
        return still | {WIDGET: {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}}


@lru_cache(maxsize=3)
def _widget_class(view: View) -> type:
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise AnalysisError(
            "A figure to click on needs the package anywidget, which is not installed.",
            hint="Install it: pip install anywidget",
        ) from None

    class Widget(anywidget.AnyWidget):
        """One view with its payload; ``selected`` goes both ways."""

        _esm = module(view)
        _css = module_style(view)
        data = traitlets.Bytes().tag(sync=True)
        selected = traitlets.Int(None, allow_none=True).tag(sync=True)

    return Widget
