"""Matrix entropy over the layers for many pictures at once, and the layer at which it collapses, if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import theme
from analysis.units import Unit, from_nats
from analysis.visual_tokens.choice_marks import layer_rule
from analysis.visual_tokens.collapse import Tokens, visual_collapse

if TYPE_CHECKING:
    from analysis.visual_tokens.results import VisualLayers


def collapse_frame(
    layers: Mapping[str, VisualLayers], tokens: Tokens = "visual", unit: Unit = "nats"
) -> pd.DataFrame:
    """Table of matrix entropy, a row per picture and layer: ``picture``, ``layer``, ``value``."""
    parts = []
    for name, one in layers.items():
        value = from_nats(getattr(one, f"matrix_entropy_{tokens.replace(' ', '_')}"), unit)
        parts.append(pd.DataFrame({"picture": name, "layer": np.arange(len(value)), "value": value}))
    return pd.concat(parts, ignore_index=True)


def collapse_sentence(layers: Mapping[str, VisualLayers], tokens: Tokens = "visual") -> str:
    """The finding in words: the collapse layer with its evidence, or why there is none or it is not known."""
    try:
        found = visual_collapse(layers, tokens)
    except ValueError as nothing:
        return f"No collapse layer is known: {nothing}."
    if found.layer is None:
        return f"No collapse layer: {found.reason}.{found.left_out}"
    return (
        f"Collapse layer {found.layer}: the median drop is {100 * found.largest_drop:.1f} %, and "
        f"{100 * found.agreeing:.0f} % of {found.n_measured} pictures lose most within one layer of it.{found.left_out}"
    )


def visual_collapse_curves(
    layers: Mapping[str, VisualLayers],
    tokens: Tokens = "visual",
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
) -> alt.LayerChart:
    """Draw the matrix entropy of many pictures over the layers.

    Parameters
    ----------
    layers : mapping of str to VisualLayers
        By the names of the pictures, such as :func:`analysis.visual_tokens.collapse.layers_of_scenes` gives them.
    tokens : {"visual", "text", "text without first"}
        Whose states.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    """
    alt.data_transformers.disable_max_rows()
    colours, frame = theme(theme_name), collapse_frame(layers, tokens, unit)
    teal = colours.pictures["entropy_collapse"]
    x = alt.X(
        "layer:Q", title="states that enter layer", axis=alt.Axis(grid=False, tickMinStep=1, format="d")
    )
    y = alt.Y("value:Q", title=f"matrix entropy, {unit}", axis=alt.Axis(tickCount=5))
    hover = ["picture:N", "layer:Q", alt.Tooltip("value:Q", format=".4f", title=f"matrix entropy ({unit})")]
    each = (
        alt.Chart(frame)
        .mark_line(color=teal, opacity=0.28, strokeWidth=1)
        .encode(x=x, y=y, detail="picture:N", tooltip=hover)
    )
    median = frame.groupby("layer", as_index=False)["value"].median().assign(picture="median")
    middle = alt.Chart(median).mark_line(color=teal, strokeWidth=2.6).encode(x=x, y=y, tooltip=hover)
    found = visual_collapse(layers, tokens).layer if frame["value"].notna().any() else None
    drawn = alt.layer(each, middle, *layer_rule(found, colours.ink))
    return styled(drawn.properties(width="container", height=230), theme_name)
