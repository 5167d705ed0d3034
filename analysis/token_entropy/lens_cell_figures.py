"""The logit lens to click on in a notebook. A result in, a figure out; no model, no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analysis.drawing.map_figure import MapFigure
from analysis.token_entropy.lens_window import LensQuantityName, lens_cells

if TYPE_CHECKING:
    from analysis.results.trace import Trace


def lens_cell_map(
    trace: Trace, quantity: LensQuantityName = "entropy", *, theme_name: str = "light", **window: Any
) -> MapFigure:
    """What every layer would say before each token of a window; ``selected`` is (row, column), the last layer row 0.

    Parameters
    ----------
    trace, quantity, **window
        As for :func:`analysis.token_entropy.lens_window.lens_cells`.
    theme_name : {"light", "dark"}
        Colours of the still picture; the live one follows the notebook.
    """
    return MapFigure(lens_cells(trace, quantity, **window), theme_name)
