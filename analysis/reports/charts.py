"""Charts of a report: an Altair chart in both themes, compiled here, with its numbers once and a choice it shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analysis.drawing.theme import theme
from analysis.reports.library import VEGA_LITE

WIDTH = 760
"""Pixels until the page says how wide it is."""
CHOICE = "chosen"
"""Name of the signal that holds the chosen token; -1 for none."""

Draw = Callable[[str], Any]
"""Makes a chart in a theme."""


@dataclass(frozen=True)
class Linked:
    """How a chart takes part in the page's choice."""

    field: str = ""
    """Field of the chart's data that says which token a mark is of; empty for a chart that takes no part."""
    across: str = ""
    """Horizontal field at which a line marks the chosen token, else a ring does at ``x`` and ``y``."""
    x: str = ""
    y: str = ""
    points: tuple[dict[str, float], ...] = ()
    """The three fields for every token, where the chart draws some tokens only; its own rows by default."""
    places: tuple[int, ...] = ()
    """The field's value for each choice of the page, -1 for none; the choice itself by default."""
    only: bool = False
    """Whether nothing but the chosen token is drawn; then its rows need no mark."""


ALONE = Linked()
"""Of a chart that takes no part."""


def compiled(draw: Draw, linked: Linked = ALONE) -> dict[str, Any]:
    """What the page needs to draw a chart.

    Parameters
    ----------
    draw : callable
        Makes the Altair chart, or its Vega-Lite spec, for "light" and for "dark"; both hold the same numbers.
    linked : Linked
        Its part in the page's choice.

    Returns
    -------
    dict
        ``light`` and ``dark``: Vega specs; ``values``: rows by the name of the data that have lost them; ``field``
        and ``places`` as in :class:`Linked`; ``fits``: whether the chart may be made as wide as the page.
    """
    import vl_convert

    specs, values, fits = {}, {}, False
    for name in ("light", "dark"):
        chart = draw(name)
        spec = chart if isinstance(chart, dict) else chart.to_dict()
        fits = spec.get("width") == "container"
        spec = _with_choice(spec, linked, theme(name).ink) | {"background": "transparent"}
        spec["config"] = spec.get("config", {}) | {"aria": False}
        if fits:
            spec |= {"width": WIDTH, "autosize": {"type": "fit-x", "contains": "padding"}}
        specs[name] = vl_convert.vegalite_to_vega(spec, vl_version=VEGA_LITE)
        values[name] = {data["name"]: data.pop("values") for data in specs[name]["data"] if "values" in data}
    if values["light"] != values["dark"]:
        raise ValueError("a chart has other numbers in the other theme")
    return specs | {
        "values": values["light"],
        "field": linked.field,
        "places": list(linked.places) or None,
        "fits": fits,
    }


def _with_choice(spec: dict[str, Any], linked: Linked, ink: str) -> dict[str, Any]:
    """The spec with a mark at the chosen token, wherever the page says that is."""
    if not linked.field:
        return dict(spec)
    at = f"datum[{linked.field!r}] === {CHOICE}"
    # a chart of one token is laid out with one: an axis of nothing has no room for its title
    params = [*spec.get("params", ()), {"name": CHOICE, "value": 0 if linked.only else -1}]
    if linked.only:
        return spec | {"transform": [*spec.get("transform", ()), {"filter": at}], "params": params}
    if linked.across:
        layer: dict[str, Any] = {
            "data": {"values": [{}]},
            "transform": [{"calculate": CHOICE, "as": linked.across}, {"filter": f"{CHOICE} >= 0"}],
            "mark": {"type": "rule", "color": ink, "strokeWidth": 1.3},
            "encoding": {"x": {"field": linked.across, "type": "quantitative"}},
        }
    else:
        layer = {
            "data": {"values": list(linked.points)} if linked.points else _data_with(spec, linked.field),
            "transform": [{"filter": at}],
            "mark": {
                "type": "point",
                "size": 150,
                "filled": False,
                "stroke": ink,
                "strokeWidth": 2,
                "opacity": 1,
            },
            "encoding": {
                axis: {"field": getattr(linked, axis), "type": "quantitative"} for axis in ("x", "y")
            },
        }
    return spec | {"layer": [*spec["layer"], layer], "params": params}


def _data_with(spec: dict[str, Any], field: str) -> dict[str, Any]:
    """Which of a spec's data has a field, by its name."""
    for name, rows in spec["datasets"].items():
        if rows and field in rows[0]:
            return {"name": name}
    raise ValueError(f"the chart has no {field}")
