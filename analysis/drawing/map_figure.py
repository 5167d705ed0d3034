"""Maps of cells as figures: a picture of lines and letters, and in a notebook a map to click on."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from analysis.drawing.cells import Cells
from analysis.drawing.charts import spec_svg
from analysis.drawing.heatmap_chart import cells_chart
from analysis.drawing.map_payload import pack_cells
from analysis.drawing.widget import Clickable


@dataclass(frozen=True)
class MapFigure(Clickable):
    """A map; ``selected`` is the row and the column that a person chose, None while there is none."""

    cells: Cells = field(repr=False)
    theme_name: str = "light"

    view = "MapView"

    def payload(self) -> bytes:
        """The bytes that it is drawn from, under a key of its own."""
        return pack_cells(self.cells, key=secrets.token_hex(8))

    @property
    def selected(self) -> tuple[int, int] | None:
        """Row and column chosen now."""
        cell = self.widget.selected
        return None if cell is None else divmod(cell, self.cells.values.shape[1])

    def select(self, row: int, column: int) -> None:
        """Choose a cell from Python."""
        self.widget.selected = row * self.cells.values.shape[1] + column

    def to_dict(self) -> dict[str, Any]:
        """Vega-Lite spec of the still picture."""
        return cells_chart(self.cells, self.theme_name).to_dict()

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, Any]:
        return self.shown({"image/svg+xml": spec_svg(self.to_dict()), "text/plain": "map of cells"})
