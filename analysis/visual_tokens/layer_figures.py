"""The pictures of what the layers do to visual tokens: curves over layers, and every patch on the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import Picture, theme
from analysis.units import Unit, from_nats
from analysis.visual_tokens.choice_marks import clickable, layer_rule
from analysis.visual_tokens.findings import sink_patches
from analysis.visual_tokens.patch_figures import SIDE, PatchValues, Scale, patch_frame, picture_map

if TYPE_CHECKING:
    from analysis.visual_tokens.results import VisualAnswer

CURVES = {
    "visual": "visual tokens",
    "text": "text",
    "text_without_first": "text without token 0",
}
"""Curves of matrix entropy: ending of the field of :class:`VisualLayers`, and its words."""


@dataclass(frozen=True)
class PatchQuantity:
    """What a map over patches can show."""

    label: str
    title: str
    colour: Picture
    scale: Scale = "linear"


PATCH_QUANTITIES = {
    "received": PatchQuantity("attention received", "share of attention, mean over rows after the picture", "attention_sinks", "sqrt"),
    "patch_entropy": PatchQuantity("query entropy", "EntropyPrune's score", "entropy_collapse"),
    "patch_entropy_released": PatchQuantity("query entropy, as released", "EntropyPrune's score as in its code", "entropy_collapse"),
    "transition": PatchQuantity("transition", "TransPrune's score", "pruning_effects"),
    "norms": PatchQuantity("size of the state", "Euclidean norm", "entropy_collapse", "sqrt"),
}  # fmt: skip
"""By name; all are measured in every layer."""


def layers_frame(a: VisualAnswer, unit: Unit = "nats") -> pd.DataFrame:
    """Table of matrix entropy: ``layer`` (0 is what enters the first), one column for each of :data:`CURVES`."""
    layers = a.layers
    return pd.DataFrame(
        {
            "layer": np.arange(len(layers.matrix_entropy_visual)),
            **{f"matrix_entropy_{name}": from_nats(getattr(layers, f"matrix_entropy_{name}"), unit) for name in CURVES},
            "norm_median": np.median(layers.norms, axis=1),
            "sinks_by_state": layers.massive.sum(1),
        }
    )  # fmt: skip


def visual_layers(
    a: VisualAnswer,
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
    layer: int | None = None,
    pick: bool = False,
) -> alt.LayerChart:
    """Draw matrix entropy over the layers, of visual tokens and of text.

    Parameters
    ----------
    a : VisualAnswer
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    layer : int, optional
        Layer that is marked; the states that enter it.
    pick : bool
        Whether a click selects a layer as ``position`` under the name ``pick``.
    """
    colours, frame = theme(theme_name), layers_frame(a, unit)
    long = frame.melt("layer", [f"matrix_entropy_{name}" for name in CURVES], "curve", "value")
    words = {f"matrix_entropy_{name}": said for name, said in CURVES.items()}
    long["curve"] = long["curve"].map(words)
    long["position"] = long["layer"]
    x = alt.X(
        "layer:Q", title="states that enter layer", axis=alt.Axis(grid=False, tickMinStep=1, format="d")
    )
    y = alt.Y(
        "value:Q", title=f"matrix entropy, {unit}", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5)
    )
    names = list(words.values())
    teal = colours.pictures["entropy_collapse"]
    common = alt.Chart(long[long["value"].notna()]).encode(
        x=x,
        y=y,
        color=alt.Color("curve:N", title=None, scale=alt.Scale(domain=names, range=[teal, colours.muted, colours.muted])),
        strokeDash=alt.StrokeDash("curve:N", title=None, scale=alt.Scale(domain=names, range=[[1, 0], [1, 0], [4, 3]])),
    )  # fmt: skip
    points = common.mark_circle(size=34).encode(
        tooltip=["layer:Q", "curve:N", alt.Tooltip("value:Q", format=".4f", title=f"matrix entropy ({unit})")]
    )
    if pick:
        points = clickable(points, "position", nearest=True)
    drawn = alt.layer(common.mark_line(strokeWidth=2), points, *layer_rule(layer, colours.ink))
    return styled(drawn.properties(width="container", height=230), theme_name)


def patch_values(a: VisualAnswer, quantity: str = "received", layer: int | None = None) -> np.ndarray:
    """Values of a quantity of every visual token, (N,): of one layer, or the mean over layers; NaN where not measured."""
    table = a.looking.received if quantity == "received" else getattr(a.layers, quantity)
    return np.asarray(table.mean(0, dtype=np.float64) if layer is None else table[layer], float)


def patch_quantity_frame(
    a: VisualAnswer, quantity: str = "received", layer: int | None = None
) -> pd.DataFrame:
    """Table behind a map: a row per visual token with the quantity and whether it is a sink."""
    frame = patch_frame(a.picture, patch_values(a, quantity, layer), quantity)
    return frame.assign(sink=sink_patches(a, layer), sink_by_state=np.asarray(a.layers.massive.any(0)))


def patch_quantity(
    a: VisualAnswer,
    quantity: str = "received",
    layer: int | None = None,
    *,
    theme_name: str = "light",
    patch: int | None = None,
    whole: bool = False,
    side: int = SIDE,
    pick: bool = False,
) -> alt.LayerChart:
    """Draw a quantity of every visual token on the picture.

    Parameters
    ----------
    a : VisualAnswer
    quantity : str
        One of :data:`PATCH_QUANTITIES`.
    layer : int, optional
        Mean over all by default.
    theme_name : {"light", "dark"}
        Colours.
    patch, whole, side, pick
        As for :func:`analysis.visual_tokens.patch_figures.picture_map`.
    """
    shown = PATCH_QUANTITIES[quantity]
    drawn = PatchValues(patch_values(a, quantity, layer), shown.title, shown.colour, shown.scale)
    return picture_map(
        a.picture,
        drawn,
        theme_name=theme_name,
        patch=patch,
        marked=sink_patches(a, layer),
        whole=whole,
        side=side,
        pick=pick,
    )
