"""The pictures of two answers: both with their attention on one scale, what differs, and both over the layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.numbers import significant
from analysis.drawing.theme import theme
from analysis.visual_tokens.choice_marks import clickable, layer_rule
from analysis.visual_tokens.findings import sink_patches
from analysis.visual_tokens.looking_figures import (
    PARTS,
    attention_frame,
    attention_on_picture,
    shares_frame,
)
from analysis.visual_tokens.patch_figures import SIDE, SMALL, PatchValues, picture_map

if TYPE_CHECKING:
    from analysis.visual_tokens.answer_pair import AnswerPair
    from analysis.visual_tokens.results import VisualAnswer

_HEIGHT = 250
FIRST = (0, 0)
"""The first written token of either."""


def pair_frame(
    pair: AnswerPair, tokens: tuple[int, int] = FIRST, layer: int | None = None, head: int | None = None
) -> pd.DataFrame:
    """Table behind both maps: a row per visual token of A, then of B, with its share of its token's attention.

    Where both are about one picture, each row also has ``difference``: what B gives that patch less what A gives it.
    """
    both = zip(("A", "B"), (pair.a, pair.b), tokens, strict=True)
    frames = [attention_frame(one, token, layer, head).assign(answer=name) for name, one, token in both]
    if pair.same_picture:
        frames = [frame.assign(difference=pair.difference(tokens, layer, head)) for frame in frames]
    found = pd.concat(frames, ignore_index=True)
    found.insert(0, "answer", found.pop("answer"))
    return found


def strongest_colour(
    pair: AnswerPair,
    tokens: tuple[int, int] = FIRST,
    layer: int | None = None,
    head: int | None = None,
    *,
    without_sinks: bool = False,
) -> float:
    """Largest share on a patch of either picture: the end of the scale of both maps."""
    drawn = [
        weights[~sink_patches(one, layer)] if without_sinks else weights
        for weights, one in zip(pair.on_pictures(tokens, layer, head), (pair.a, pair.b), strict=True)
    ]
    return float(np.concatenate(drawn).max(initial=0.0))


def attention_of_pair(
    pair: AnswerPair,
    tokens: tuple[int, int] = FIRST,
    layer: int | None = None,
    head: int | None = None,
    *,
    theme_name: str = "light",
    patch: int | None = None,
    without_sinks: bool = False,
    whole: bool = False,
    side: int = SIDE,
) -> alt.HConcatChart:
    """Draw where a written token of each answer looked, on one scale.

    Parameters
    ----------
    pair : AnswerPair
    tokens : (int, int)
        Numbers of the written tokens, of A and of B.
    layer, head : int, optional
        Means over all by default.
    theme_name : {"light", "dark"}
        Colours.
    patch : int, optional
        Visual token that is outlined, in B where its picture is A's.
    whole : bool
        Of a picture that was seen in crops, and small as well: the tokens of the small one.
    without_sinks, side
        As for :func:`analysis.visual_tokens.looking_figures.attention_on_picture`.
    """
    top = strongest_colour(pair, tokens, layer, head, without_sinks=without_sinks)
    outlined = (patch, patch if pair.same_picture else None)
    maps = [
        _part(
            attention_on_picture(
                one, token, layer, head, theme_name=theme_name, patch=here, without_sinks=without_sinks,
                whole=whole and one.picture.in_crops_and_whole, side=side, top=top
            ),
            name,
            one,
        )
        for name, one, token, here in zip("AB", (pair.a, pair.b), tokens, outlined, strict=True)
    ]  # fmt: skip
    return styled(alt.hconcat(*maps, spacing=24).resolve_scale(fill="independent"), theme_name)


def _part(drawing: Any, name: str, one: VisualAnswer) -> Any:
    """A map as a part of a figure, with the question over it and the answer."""
    drawing = drawing.copy(deep=False)
    drawing.config = drawing.autosize = alt.Undefined
    title = alt.TitleParams(f"{name}  {one.spec.question}", subtitle=f"“{one.text}”")
    return drawing.properties(title=title)


def attention_difference(
    pair: AnswerPair,
    tokens: tuple[int, int] = FIRST,
    layer: int | None = None,
    head: int | None = None,
    *,
    theme_name: str = "light",
    patch: int | None = None,
    whole: bool = False,
    without_sinks: bool = False,
    side: int = SMALL,
    pick: bool = False,
) -> alt.LayerChart:
    """Draw how much more of its attention B's written token gives each patch than A's.

    Parameters
    ----------
    pair : AnswerPair
        About one picture.
    tokens, layer, head, theme_name, patch
        As for :func:`attention_of_pair`.
    whole, side, pick
        As for :func:`analysis.visual_tokens.patch_figures.picture_map`.
    without_sinks : bool
        Leave sinks of either answer without colour.

    Raises
    ------
    AnalysisError
        If the pictures are not the same.
    """
    values, sinks = pair.difference(tokens, layer, head), pair.sinks(layer)
    drawn = PatchValues(
        np.where(sinks, np.nan, values) if without_sinks else values,
        "B less A, share of attention" + (", sinks left out" if without_sinks else ""),
        scale="linear",
        text_format="+.2~%",
        signed=True,
    )
    return picture_map(
        pair.a.picture,
        drawn,
        theme_name=theme_name,
        patch=patch,
        marked=sinks,
        whole=whole,
        side=side,
        pick=pick,
    )


def pair_shares_frame(pair: AnswerPair, tokens: tuple[int, int] = FIRST) -> pd.DataFrame:
    """Table of where both written tokens' attention goes: ``layer``, ``part``, ``a``, ``b`` and ``difference``."""
    a, b = (shares_frame(one, token) for one, token in zip((pair.a, pair.b), tokens, strict=True))
    rows = [
        pd.DataFrame({"layer": a["layer"], "part": words, "a": a[name], "b": b[name]})
        for name, words in PARTS.items()
        if name in a and name in b
    ]
    return pd.concat(rows, ignore_index=True).assign(difference=lambda frame: frame["b"] - frame["a"])


def pair_shares(
    pair: AnswerPair,
    tokens: tuple[int, int] = FIRST,
    part: str = "picture",
    *,
    theme_name: str = "light",
    layer: int | None = None,
    pick: bool = False,
) -> alt.LayerChart:
    """Draw the share of attention on a part, layer by layer, mean over heads: A and B on one axis.

    Parameters
    ----------
    pair : AnswerPair
    tokens : (int, int)
        Numbers of the written tokens, of A and of B.
    part : {"picture", "text", "first position", "row ends"}
        Where attention goes; row ends only where both pictures have them.
    theme_name : {"light", "dark"}
        Colours.
    layer : int, optional
        Layer that is marked.
    pick : bool
        Whether a click selects a layer as ``position`` under the name ``pick``.
    """
    colours, frame = theme(theme_name), pair_shares_frame(pair, tokens)
    long = (
        frame[frame["part"] == part]
        .rename(columns={"a": "A", "b": "B"})
        .melt("layer", ["A", "B"], "answer", "share")
        .assign(position=lambda rows: rows["layer"])
    )
    x = alt.X("layer:Q", title="layer", axis=alt.Axis(grid=False, tickMinStep=1, format="d"))
    y = alt.Y("share:Q", title=f"share of attention, {part}", axis=alt.Axis(format=".0%", tickCount=4))
    names = list(colours.sides)
    colour = alt.Color(
        "answer:N", title=None, scale=alt.Scale(domain=names, range=[colours.sides[name] for name in names])
    )
    base = alt.Chart(long)
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        x=x,
        y=y,
        color=colour,
        shape=alt.Shape("answer:N", title=None, scale=alt.Scale(domain=names, range=["circle", "square"])),
        tooltip=["answer:N", "layer:Q", alt.Tooltip("share:Q", format=".2%")],
    )
    if pick:
        points = clickable(points, "position", nearest=True)
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour)
    drawn = alt.layer(lines, *layer_rule(layer, colours.ink), points)
    return styled(drawn.properties(width="container", height=_HEIGHT), theme_name)


def pair_sentence(
    pair: AnswerPair, tokens: tuple[int, int] = FIRST, layer: int | None = None, head: int | None = None
) -> str:
    """The difference in words; for one picture."""
    change = np.where(pair.sinks(layer), 0.0, pair.difference(tokens, layer, head))
    moved, free = (
        significant(100 * pair.moved(tokens, layer, head, without_sinks=without)) for without in (False, True)
    )
    gains, loses = int(change.argmax()), int(change.argmin())
    said = f"{moved} % of the attention on the picture lies on other patches for B than for A"
    said += f", {free} % without sinks." if pair.sinks(layer).any() else "."
    ends = ((gains, "gained", change[gains] > 0), (loses, "lost", change[loses] < 0))
    most = [
        f"most {what}: patch {patch}, {significant(100 * change[patch], signed=True)} %"
        for patch, what, there in ends
        if there
    ]
    return " ".join([said, f"{'; '.join(most).capitalize()}." if most else ""]).strip()
