"""What figures of visual tokens share about the one choice: marks that take a click, and the line at a layer."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.drawing.charts import alt


def clickable(marks: Any, *fields: str, nearest: bool = False) -> Any:
    """Marks on which a click selects the values of fields under the name ``pick``.

    Parameters
    ----------
    marks : altair chart
        One layer.
    *fields : str
        Of its table.
    nearest : bool
        Whether a click beside a mark takes the nearest one.
    """
    click = alt.selection_point(name="pick", fields=list(fields), on="click", nearest=nearest, empty=False)
    return marks.add_params(click)


def layer_rule(layer: int | None, ink: str, dash: tuple[int, int] = (1, 0)) -> list[Any]:
    """The line at a layer, as a list that is empty without one; ``dash`` in pixels of line and gap."""
    if layer is None:
        return []
    place = alt.Chart(pd.DataFrame({"layer": [layer]}))
    return [place.mark_rule(color=ink, strokeWidth=1.3, strokeDash=list(dash)).encode(x="layer:Q")]
