"""The pictures of the information horizon: when the picture may go, which part of it counts, and for which questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import OKABE_ITO, Theme, theme
from analysis.units import Unit, from_nats
from analysis.visual_tokens.choice_marks import clickable, layer_rule
from analysis.visual_tokens.patch_figures import SIDE, PatchValues, patch_frame, picture_map

if TYPE_CHECKING:
    from analysis.visual_tokens.horizon_results import HorizonResult, SceneHorizon
    from analysis.visual_tokens.results import SeenPicture

Which = Literal["without", "alone"]
WHICH: dict[Which, str] = {
    "without": "change of the answer's probability if only this window goes",
    "alone": "what this window alone brings back of the answer's probability",
}
"""What a map of windows shows."""
_HEIGHT = 230


def visual_horizon(
    h: HorizonResult,
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
    layer: int | None = None,
    pick: bool = False,
) -> alt.LayerChart:
    """Draw what the answer loses if the whole picture goes before a layer; beside it its sinks alone, where they were tried.

    Parameters
    ----------
    h : HorizonResult
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    layer : int, optional
        Layer that is marked in ink; the horizon is dashed.
    pick : bool
        Whether a click selects a layer as ``position`` under the name ``pick``.
    """
    colours, frame = theme(theme_name), h.to_frame()
    for column in [name for name in map(str, frame) if name.startswith("change")]:
        frame[column] = from_nats(frame[column], unit)
    frame["position"] = frame["layer"]
    frame["answer"] = frame["answered"].map({True: "still the answer", False: "another answer"})
    rose = colours.pictures["pruning_effects"]
    x = alt.X(
        "layer:Q",
        title="goes before layer" if h.tokens else "the whole picture goes before layer",
        axis=alt.Axis(grid=False, tickMinStep=1, format="d"),
    )
    y = alt.Y("change:Q", title=f"change of log p of the answer, {unit}", axis=alt.Axis(tickCount=5))
    base = alt.Chart(frame)
    points = base.mark_point(size=58, filled=True, opacity=1).encode(
        x=x,
        y=y,
        color=alt.Color("answer:N", title=None, scale=alt.Scale(domain=["still the answer", "another answer"], range=[rose, colours.muted])),
        shape=alt.Shape("answer:N", title=None, scale=alt.Scale(domain=["still the answer", "another answer"], range=["circle", "cross"])),
        tooltip=["layer:Q", alt.Tooltip("change:Q", format="+.4f", title=f"change ({unit})"), "answer:N"],
    )  # fmt: skip
    if pick:
        points = clickable(points, "position", nearest=True)
    drawn: list[Any] = [base.mark_line(color=rose, strokeWidth=2).encode(x=x, y=y)]
    if h.tokens:
        drawn = _beside(frame, len(h.tokens), x, colours, unit)
    drawn += [*layer_rule(h.horizon, colours.ink, (4, 3)), *layer_rule(layer, colours.ink)]
    return styled(alt.layer(*drawn, points).properties(width="container", height=_HEIGHT), theme_name)


def _beside(frame: pd.DataFrame, n: int, x: Any, colours: Theme, unit: Unit) -> list[Any]:
    """The lines of the whole picture, of some tokens alone, and of as many random ones with their span."""
    names = {
        "change": "picture",
        "change_tokens": f"sinks ({n})",
        "change_random": f"random ({n})",
    }
    long = frame.melt("layer", list(names), "what", "change_of").assign(
        what=lambda rows: rows["what"].map(names)
    )
    order = list(names.values())
    legend = alt.Legend(orient="bottom", columns=3, symbolStrokeWidth=2)
    hues = [colours.pictures["pruning_effects"], colours.pictures["attention_sinks"], colours.muted]
    title = f"change of log p of the answer, {unit}"
    y = alt.Y("change_of:Q", title=title)
    lines = alt.Chart(long).mark_line(strokeWidth=2).encode(
        x=x, y=y,
        stroke=alt.Stroke("what:N", title=None, legend=legend, scale=alt.Scale(domain=order, range=hues)),
        strokeDash=alt.StrokeDash("what:N", title=None, legend=legend, scale=alt.Scale(domain=order, range=[[1, 0], [6, 2], [2, 2]])),
        tooltip=["what:N", "layer:Q", alt.Tooltip("change_of:Q", format="+.4f", title=f"change ({unit})")],
    )  # fmt: skip
    span = (
        alt.Chart(frame)
        .mark_area(color=colours.muted, opacity=0.2, tooltip=None)
        .encode(x=x, y=alt.Y("change_random_low:Q", title=title), y2="change_random_high:Q")
    )
    return [span, lines]


def window_frame(picture: SeenPicture, h: HorizonResult, layer: int) -> pd.DataFrame:
    """Table behind the map: a row per visual token with its window and both of its values before a layer."""
    frame = patch_frame(picture, h.window_of, "window").astype({"window": int})
    return frame.assign(**{which: h.on_picture(layer, which) for which in WHICH})


def horizon_on_picture(
    picture: SeenPicture,
    h: HorizonResult,
    layer: int = 0,
    which: Which = "without",
    *,
    theme_name: str = "light",
    patch: int | None = None,
    whole: bool = False,
    side: int = SIDE,
    pick: bool = False,
) -> alt.LayerChart:
    """Draw what every window of the picture does to the answer.

    Parameters
    ----------
    picture : SeenPicture
    h : HorizonResult
    layer : int
        One of ``h.layers``.
    which : {"without", "alone"}
        One of :data:`WHICH`.
    theme_name : {"light", "dark"}
        Colours.
    patch, whole, side, pick
        As for :func:`analysis.visual_tokens.patch_figures.picture_map`.
    """
    drawn = PatchValues(
        h.on_picture(layer, which), "change of probability", "pruning_effects", "linear", "+.2~g", signed=True
    )
    return picture_map(picture, drawn, theme_name=theme_name, patch=patch, whole=whole, side=side, pick=pick)


def horizon_by_kind(found: SceneHorizon, *, theme_name: str = "light") -> alt.LayerChart:
    """Draw the share of right answers of every kind of question if the picture goes before a layer.

    Parameters
    ----------
    found : SceneHorizon
    theme_name : {"light", "dark"}
        Colours.
    """
    colours, frame = theme(theme_name), found.to_frame()
    frame["said"] = [
        f"{kind}: horizon {layer}" for kind, layer in zip(frame["kind"], frame["horizon"], strict=True)
    ]
    names = list(dict.fromkeys(frame["said"]))
    others = [colour for colour in OKABE_ITO if colour not in ("#F0E442", "#999999")]
    shades = [
        colours.ink if name.startswith("all:") else others[k % len(others)] for k, name in enumerate(names)
    ]
    x = alt.X(
        "layer:Q",
        title="the whole picture goes before layer",
        axis=alt.Axis(grid=False, tickMinStep=1, format="d"),
    )
    y = alt.Y("right:Q", title="right answers, share", scale=alt.Scale(domain=[0, 1]))
    colour = alt.Color(
        "said:N",
        title=None,
        scale=alt.Scale(domain=names, range=shades),
        legend=alt.Legend(columns=2, symbolOpacity=1),
    )
    base = alt.Chart(frame)
    bars = base.mark_rule(opacity=0.4).encode(
        x=x, y=alt.Y("right_low:Q", title="right answers, share"), y2="right_high:Q", color=colour
    )
    lines = base.mark_line(strokeWidth=1.8).encode(x=x, y=y, color=colour)
    points = base.mark_circle(size=40, opacity=1).encode(
        x=x, y=y, color=colour,
        tooltip=["kind:N", "layer:Q", "questions:Q", alt.Tooltip("right:Q", format=".1%"), alt.Tooltip("right_low:Q", format=".1%"),
                 alt.Tooltip("right_high:Q", format=".1%"), alt.Tooltip("change:Q", format="+.3f", title="mean change of log p (nats)")],
    )  # fmt: skip
    return styled(alt.layer(bars, lines, points).properties(width="container", height=280), theme_name)


def horizon_sentence(h: HorizonResult) -> str:
    """The finding in words."""
    if h.horizon == 0:
        return f"The answer “{h.answer}” never needed the picture."
    if h.horizon >= h.n_layers:
        return f"The last of {h.n_layers} layers still needs the picture for “{h.answer}”."
    return f"From layer {h.horizon} of {h.n_layers} on, “{h.answer}” no longer needs the picture."
