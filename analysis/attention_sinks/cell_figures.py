"""Heads and attention maps to click on in a notebook. Results in, figures out; no model, no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analysis.attention_sinks.cells import head_cells, map_cells
from analysis.attention_sinks.figures import HeadQuantity
from analysis.drawing.map_figure import MapFigure

if TYPE_CHECKING:
    from analysis.attention_sinks.maps import HeadMap
    from analysis.results.trace import Trace


def head_cell_map(
    trace: Trace, quantity: HeadQuantity = "sink_mass", *, theme_name: str = "light"
) -> MapFigure:
    """One cell per head and layer; ``selected`` is (head, layer).

    Parameters
    ----------
    trace, quantity
        As for :func:`analysis.attention_sinks.cells.head_cells`.
    theme_name : {"light", "dark"}
        Colours of the still picture; the live one follows the notebook.
    """
    return MapFigure(head_cells(trace, quantity), theme_name)


def attention_cell_map(
    head_map: HeadMap, trace: Trace, *, theme_name: str = "light", **drawn: Any
) -> MapFigure:
    """One cell per query and key of a head; ``selected`` is (query, key), of cells that may hold several tokens.

    Parameters
    ----------
    head_map, trace, **drawn
        As for :func:`analysis.attention_sinks.cells.map_cells`.
    theme_name : {"light", "dark"}
        Colours of the still picture; the live one follows the notebook.
    """
    return MapFigure(map_cells(head_map, trace, **drawn), theme_name)
