"""Heads that look at a picture, to click on in a notebook. Results in, figures out; no model, no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.cells import CellAxis, Cells
from analysis.drawing.map_figure import MapFigure
from analysis.drawing.theme import amount_ramp

if TYPE_CHECKING:
    from analysis.visual_tokens.results import VisualAnswer


def picture_head_cells(a: VisualAnswer, token: int = 0) -> Cells:
    """Share of a written token's attention on the picture, in percent: one cell per head (row) and layer (column).

    Parameters
    ----------
    a : VisualAnswer
    token : int
        Number of the written token.
    """
    values = 100 * a.looking.share_visual[token].astype(np.float32).T
    n_heads, n_layers = values.shape
    return Cells(
        title="attention on the picture",
        unit="%",
        values=values,
        rows=CellAxis.numbered("head", range(n_heads)),
        columns=CellAxis.numbered("layer", range(n_layers)),
        low=0.0,
        high=max(float(values.max()), 1e-4),
        light=amount_ramp("attention_sinks", "light"),
        dark=amount_ramp("attention_sinks", "dark"),
        scale="linear",
    )


def picture_cell_map(a: VisualAnswer, token: int = 0, *, theme_name: str = "light") -> MapFigure:
    """How much every head looks at the picture; ``selected`` is (head, layer).

    Parameters
    ----------
    a, token
        As for :func:`picture_head_cells`.
    theme_name : {"light", "dark"}
        Colours of the still picture; the live one follows the notebook.
    """
    return MapFigure(picture_head_cells(a, token), theme_name)
