"""The pictures of what differs inside: heads as a map of differences, layers as curves of both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import rgb_to_hex, signed_ramp, theme
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    from analysis.comparison.structure import LayerSide, Structure


@dataclass(frozen=True)
class HeadChange:
    """What a head map of differences shows."""

    label: str
    help: str


_EXTENT = 40
"""Pixels left of both panels' axes, so that they stand under each other."""
HEAD_CHANGES = {
    "sink": HeadChange("sink mass", "attention on each side's own first token, less what uniform attention gives it"),
    "row_entropy": HeadChange("row entropy", "entropy of the rows of aligned tokens over the logarithm of the keys they see"),
}  # fmt: skip
"""Field of :class:`~analysis.comparison.structure.LayerSide`: its words."""
LAYER_CURVES = {
    "matrix_entropy": "matrix entropy without the first token",
    "matrix_entropy_all": "matrix entropy of all tokens",
    "norm": "median norm of the states",
}
"""Name of a curve over layers: its words."""


def head_changes_frame(structure: Structure, quantity: str = "sink") -> pd.DataFrame:
    """Table of both sides, one row per layer and head: ``layer``, ``head``, ``A``, ``B`` and ``change``.

    Raises
    ------
    ValueError
        If the sides have other shapes.
    """
    change = structure.change(quantity)
    n_layers, n_heads = change.shape
    return pd.DataFrame(
        {
            "layer": np.repeat(structure.a.layer_numbers, n_heads),
            "head": np.tile(np.arange(n_heads), n_layers),
            "A": getattr(structure.a, quantity).ravel(),
            "B": getattr(structure.b, quantity).ravel(),
            "change": change.ravel(),
        }
    )


def head_changes(structure: Structure, quantity: str = "sink", *, theme_name: str = "light") -> alt.Chart:
    """B less A in every layer and head.

    Parameters
    ----------
    structure : Structure
        Of a comparison of two sides with the same layers and heads.
    quantity : str
        One of :data:`HEAD_CHANGES`.
    theme_name : {"light", "dark"}
        Colours.
    """
    alt.data_transformers.disable_max_rows()
    frame, colours = head_changes_frame(structure, quantity), theme(theme_name)
    top = max(float(frame["change"].abs().max()), 1e-6)
    ramp = signed_ramp(colours.name)
    stops = [rgb_to_hex(ramp[i]) for i in np.linspace(0, len(ramp) - 1, 9).astype(int)]
    chart = (
        alt.Chart(frame)
        .mark_rect(stroke=colours.ground, strokeWidth=1)
        .encode(
            x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("head:O", title="head"),
            color=alt.Color(
                "change:Q",
                title=f"{HEAD_CHANGES[quantity].label}: B less A",
                scale=alt.Scale(domain=[-top, top], range=stops, interpolate="rgb", clamp=True),
                legend=alt.Legend(gradientLength=200, format="+.2~f", tickCount=3),
            ),
            tooltip=[
                "layer:O",
                "head:O",
                *(alt.Tooltip(f"{name}:Q", format="+.4f") for name in ("A", "B", "change")),
            ],
        )
    )
    height = min(22 * (int(frame["head"].max()) + 1) + 110, 480)
    return styled(chart.properties(width="container", height=max(200, height)), theme_name)


def layer_changes_frame(
    structure: Structure, quantity: str = "matrix_entropy", unit: Unit = "nats"
) -> pd.DataFrame:
    """Table of a curve of both sides: ``layer``, ``depth`` from 0 to 1, ``side`` and ``value``.

    Raises
    ------
    ValueError
        If a side did not measure it.
    """
    parts = []
    for name, side in (("A", structure.a), ("B", structure.b)):
        value = _curve(side, quantity)
        if quantity != "norm":
            value = from_nats(value, unit)
        layer = np.arange(len(value))
        parts.append(
            pd.DataFrame(
                {"layer": layer, "depth": layer / max(len(value) - 1, 1), "side": name, "value": value}
            )
        )
    return pd.concat(parts, ignore_index=True)


def _curve(side: LayerSide, quantity: str) -> np.ndarray:
    if quantity == "norm":
        return side.norm
    if side.matrix_entropy is None:
        raise ValueError("a side has no spectra")
    return side.matrix_entropy[0 if quantity == "matrix_entropy_all" else 1]


def layer_changes(
    structure: Structure,
    quantity: str = "matrix_entropy",
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
) -> Any:
    """A and B over the layers, and B less A below where both have the same layers.

    Parameters
    ----------
    structure : Structure
        Of a comparison.
    quantity : str
        One of :data:`LAYER_CURVES`.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    """
    return styled(
        alt.vconcat(*layer_panels(structure, quantity, unit=unit, theme_name=theme_name), spacing=4),
        theme_name,
    )


def layer_panels(
    structure: Structure, quantity: str = "matrix_entropy", *, unit: Unit = "nats", theme_name: str = "light"
) -> list[Any]:
    """The panels of :func:`layer_changes`, unstyled: both curves, and their difference if it exists."""
    frame, colours = layer_changes_frame(structure, quantity, unit), theme(theme_name)
    across = "layer" if structure.same_shape else "depth"
    said = "norm" if quantity == "norm" else unit
    scale = alt.Scale(type="log") if quantity == "norm" else alt.Scale(zero=False)
    x = alt.X(
        f"{across}:Q",
        title=across,
        scale=alt.Scale(
            domain=[-0.5, frame["layer"].max() + 0.5] if structure.same_shape else [0, 1], nice=False
        ),
        axis=alt.Axis(grid=False, tickMinStep=1 if structure.same_shape else 0),
    )
    sides = alt.Color(
        "side:N",
        title=None,
        scale=alt.Scale(domain=list(colours.sides), range=list(colours.sides.values())),
        legend=alt.Legend(orient="top-right", direction="horizontal", offset=0, symbolType="stroke"),
    )
    hover = ["side:N", "layer:Q", alt.Tooltip("value:Q", format=".5g", title=said)]
    curves = (
        alt.Chart(frame)
        .mark_line(point=alt.OverlayMarkDef(size=18), strokeWidth=1.6)
        .encode(
            x=x,
            y=alt.Y("value:Q", title=said, scale=scale, axis=alt.Axis(tickCount=4, minExtent=_EXTENT)),
            color=sides,
            tooltip=hover,
        )
        .properties(height=200, width="container")
    )
    if not structure.same_shape:
        return [curves]
    wide = frame.pivot(index="layer", columns="side", values="value").reset_index()
    wide["change"] = wide["B"] - wide["A"]
    bars = (
        alt.Chart(wide)
        .mark_bar(width=6)
        .encode(
            x=x,
            y=alt.Y("change:Q", title="B less A", axis=alt.Axis(tickCount=3, minExtent=_EXTENT)),
            color=alt.condition("datum.change < 0", alt.value(colours.negative), alt.value(colours.positive)),
            tooltip=["layer:Q", alt.Tooltip("change:Q", format="+.5g")],
        )
        .properties(height=140, width="container")
    )
    return [curves, bars]
