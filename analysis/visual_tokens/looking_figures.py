"""The pictures of where an answer looked: on the picture, over the layers, in every head. Results in, figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import amount_ramp, rgb_to_hex, theme
from analysis.visual_tokens.choice_marks import clickable
from analysis.visual_tokens.findings import sink_patches, without_first
from analysis.visual_tokens.patch_figures import SIDE, PatchValues, patch_frame, picture_map

if TYPE_CHECKING:
    from analysis.visual_tokens.results import VisualAnswer

PARTS = {"visual": "picture", "text": "text", "first": "first position", "newlines": "row ends"}
"""Where attention goes: column of the table, and its words."""
_HEIGHT = 190


def attention_frame(
    a: VisualAnswer, token: int = 0, layer: int | None = None, head: int | None = None
) -> pd.DataFrame:
    """Table behind the map: a row per visual token, with its share of a written token's attention, and whether it is a sink."""
    frame = patch_frame(a.picture, a.looking.on_picture(token, layer, head), "attention")
    return frame.assign(sink=sink_patches(a, layer))


def attention_on_picture(
    a: VisualAnswer,
    token: int = 0,
    layer: int | None = None,
    head: int | None = None,
    *,
    theme_name: str = "light",
    patch: int | None = None,
    whole: bool = False,
    without_sinks: bool = False,
    side: int = SIDE,
    pick: bool = False,
    top: float | None = None,
) -> alt.LayerChart:
    """Draw where a written token looked.

    Parameters
    ----------
    a : VisualAnswer
    token : int
        Number of the written token.
    layer, head : int, optional
        Means over all by default.
    theme_name : {"light", "dark"}
        Colours.
    patch : int, optional
        Visual token that is outlined.
    whole, side, pick
        As for :func:`analysis.visual_tokens.patch_figures.picture_map`.
    without_sinks : bool
        Leave sinks without colour, so that the scale is that of the rest.
    top : float, optional
        Share that has the strongest colour; the largest one by default.
    """
    weights, sinks = a.looking.on_picture(token, layer, head).astype(float), sink_patches(a, layer)
    drawn = PatchValues(
        np.where(sinks, np.nan, weights) if without_sinks else weights,
        "share of its attention" + (", sinks left out" if without_sinks else ""),
        text_format=".2~%",
        top=top,
    )
    return picture_map(
        a.picture, drawn, theme_name=theme_name, patch=patch, marked=sinks, whole=whole, side=side, pick=pick
    )


def shares_frame(a: VisualAnswer, token: int = 0) -> pd.DataFrame:
    """Table of where a written token's attention goes in every layer, mean over heads; the shares of a layer add up to 1."""
    looking = a.looking
    visual, text, first, newlines = (
        share[token].mean(1, dtype=np.float64)
        for share in (looking.share_visual, looking.share_text, looking.share_first, looking.share_newlines)
    )
    visual, text = without_first(a, visual, text, first)
    shares = {"visual": visual, "text": text, "first": first, "newlines": newlines}
    if not shares["newlines"].any():
        del shares["newlines"]
    frame = pd.DataFrame(shares)
    frame.insert(0, "layer", np.arange(len(frame)))
    for name, without in (("mdi", False), ("mdi_without_first", True)):
        frame[name] = (looking.mdi_without_first if without else looking.mdi)[token]
    for name, without in (("aei", False), ("aei_without_first", True)):
        frame[name] = (looking.aei_without_first if without else looking.aei)[token]
    return frame


def attention_shares(
    a: VisualAnswer,
    token: int = 0,
    *,
    theme_name: str = "light",
    layer: int | None = None,
    pick: bool = False,
) -> alt.LayerChart:
    """Draw how a written token's attention is shared between picture and text, layer by layer.

    Parameters
    ----------
    a : VisualAnswer
    token : int
        Number of the written token.
    theme_name : {"light", "dark"}
        Colours.
    layer : int, optional
        Layer that is marked.
    pick : bool
        Whether a click selects a layer as ``position`` under the name ``pick``.
    """
    colours, frame = theme(theme_name), shares_frame(a, token)
    parts = {name: words for name, words in PARTS.items() if name in frame}
    long = frame.melt("layer", list(parts), "part", "share").assign(position=lambda f: f["layer"])
    long["order"] = long["part"].map({name: k for k, name in enumerate(parts)})
    long["part"] = long["part"].map(parts)
    indigo = colours.pictures["attention_sinks"]
    fills = {
        "picture": indigo,
        "text": colours.muted,
        "first position": colours.line,
        "row ends": colours.quiet,
    }
    bars = (
        alt.Chart(long)
        .mark_bar(stroke=colours.panel, strokeWidth=0.6)
        .encode(
            x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, labelOverlap=True, ticks=False)),
            y=alt.Y("share:Q", title="share of attention", axis=alt.Axis(format=".0%", tickCount=4), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("part:N", title=None, scale=alt.Scale(domain=list(parts.values()), range=[fills[p] for p in parts.values()])),
            order="order:Q",
            tooltip=["layer:O", "part:N", alt.Tooltip("share:Q", format=".2%")],
        )
    )  # fmt: skip
    if pick:
        bars = clickable(bars, "position")
    return styled(
        alt.layer(bars, *_layer_rule(layer, colours.ink)).properties(width="container", height=_HEIGHT),
        theme_name,
    )


def _layer_rule(layer: int | None, ink: str) -> list[Any]:
    """A line at the chosen layer, on an axis of layers by name."""
    if layer is None:
        return []
    place = pd.DataFrame({"layer": [layer]})
    return [alt.Chart(place).mark_rule(color=ink, strokeWidth=1.3, tooltip=None).encode(x="layer:O")]


def picture_heads_frame(a: VisualAnswer, token: int = 0) -> pd.DataFrame:
    """Table of every head: ``layer``, ``head``, share of a written token's attention on the picture, and its entropy there."""
    share = a.looking.share_visual[token]
    n_layers, n_heads = share.shape
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(n_layers), n_heads),
            "head": np.tile(np.arange(n_heads), n_layers),
            "share": share.ravel().astype(float),
            "entropy_nats": a.looking.entropy[token].ravel().astype(float),
        }
    )


def picture_heads(
    a: VisualAnswer,
    token: int = 0,
    *,
    theme_name: str = "light",
    layer: int | None = None,
    head: int | None = None,
    pick: bool = False,
) -> alt.LayerChart:
    """Draw how much of every head's attention a written token spends on the picture.

    Parameters
    ----------
    a : VisualAnswer
    token : int
        Number of the written token.
    theme_name : {"light", "dark"}
        Colours.
    layer, head : int, optional
        The head that is outlined; with the layer alone, all of its heads.
    pick : bool
        Whether a click selects layer times number of heads plus head as ``position`` under the name ``pick``.
    """
    alt.data_transformers.disable_max_rows()
    colours, frame = theme(theme_name), picture_heads_frame(a, token)
    frame = frame.assign(position=np.arange(len(frame)))
    ramp = amount_ramp("attention_sinks", colours.name)
    stops = [rgb_to_hex(ramp[i]) for i in np.linspace(0, len(ramp) - 1, 9).astype(int)]
    x = alt.X(
        "layer:O", title="layer", axis=alt.Axis(labelAngle=0, labelOverlap=True, ticks=False, domain=False)
    )
    y = alt.Y("head:O", title="head", axis=alt.Axis(ticks=False, domain=False))
    cells = (
        alt.Chart(frame)
        .mark_rect(stroke=colours.panel, strokeWidth=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "share:Q",
                title="on the picture",
                scale=alt.Scale(domain=[0, max(float(frame["share"].max()), 1e-6)], range=stops, interpolate="rgb"),
                legend=alt.Legend(gradientLength=110, gradientThickness=8, format=".0%", tickCount=2),
            ),
            tooltip=["layer:O", "head:O", alt.Tooltip("share:Q", format=".2%", title="on the picture"),
                     alt.Tooltip("entropy_nats:Q", format=".3f", title="entropy on it (nats)")],
        )
    )  # fmt: skip
    if pick:
        cells = clickable(cells, "position")
    chosen = frame[(frame["layer"] == layer) & ((frame["head"] == head) | (head is None))]
    outline = (
        alt.Chart(chosen)
        .mark_rect(aria=False, filled=False, stroke=colours.ink, strokeWidth=2, tooltip=None)
        .encode(x=x, y=y)
    )
    return styled(alt.layer(cells, outline).properties(width="container", height=_HEIGHT), theme_name)
