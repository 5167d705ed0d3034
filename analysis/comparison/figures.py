"""The pictures of two sides: along the text, and change against change. Values in, figures out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.comparison.items import Items, items_of
from analysis.comparison.quantities import COMPARED_QUANTITIES, last_colour, quantities_between
from analysis.comparison.results import Comparison
from analysis.comparison.strips import change_values, side_values
from analysis.drawing.charts import MAX_POINTS, alt, styled
from analysis.drawing.decades import decades
from analysis.drawing.labels import visible
from analysis.drawing.theme import Theme, theme
from analysis.units import Unit, from_nats

LEAST_LOG = 1e-7
"""Smaller than this, in nats, nothing is drawn on a log scale: float32 says no less about a difference."""
_MOST_EDGES = 60
_EXTENT = 34
"""Pixels left of both panels' axes, so that they stand under each other."""
CORNERS = ("surer, and wrong", "less sure, worse", "surer, and right", "less sure, yet right")
"""Names of the quadrants: change of entropy below or above 0, change of surprisal above or below it."""


def compared_frame(c: Comparison, items: Items | None = None, unit: Unit = "nats") -> pd.DataFrame:
    """Table behind the pictures: one row per item of side A, with both sides' numbers and every change."""
    items = items_of(c) if items is None else items
    columns: dict[str, Any] = {
        "position": items.start_a,
        "position_b": np.where(items.has_b, items.start_b, -1),
        "token": [_word(c, items, k) for k in range(len(items))],
    }
    for side in ("surprisal", "entropy"):
        columns[f"{side}_a"], columns[f"{side}_b"] = side_values(c, items, side, unit)
    for name, declared in quantities_between(c).items():
        columns[name] = change_values(c, items, declared, unit)
    return pd.DataFrame(columns)[items.has_a].reset_index(drop=True)


def _word(c: Comparison, items: Items, k: int) -> str:
    return visible("".join(c.a.tokens.text[items.start_a[k] : items.end_a[k]]))


def compared_along(
    c: Comparison,
    quantity: str = "kl_ab",
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
    log: bool = False,
    token: int | None = None,
) -> alt.VConcatChart:
    """Both sides along the text, and how far apart they are.

    Parameters
    ----------
    c : Comparison
        Two sides.
    quantity : str
        Of the lower curve, one of :data:`analysis.comparison.quantities.COMPARED_QUANTITIES`; the upper ones are of the side's
        quantity that belongs to it.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    log : bool
        Whether the lower axis is logarithmic: changes then stand with their size, their sign in colour.
    token : int, optional
        Token of A that is marked.
    """
    upper, lower = along_panels(c, quantity, unit=unit, theme_name=theme_name, log=log, token=token)
    both = alt.vconcat(upper, lower, spacing=4).resolve_scale(color="independent")
    return styled(both, theme_name)


def along_panels(
    c: Comparison,
    quantity: str = "kl_ab",
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
    log: bool = False,
    token: int | None = None,
    pick: bool = False,
) -> tuple[Any, Any]:
    """The two panels of :func:`compared_along`, unstyled; ``pick`` adds a click selection on ``position`` to both."""
    alt.data_transformers.disable_max_rows()
    items = items_of(c)
    declared, colours = COMPARED_QUANTITIES[quantity], theme(theme_name)
    frame = compared_frame(c, items, unit)
    drawn, step = _pooled(frame)
    every = "" if step == 1 else f", 1 of {step} drawn"
    across = alt.Scale(domain=[0, max(len(c.a.tokens) - 1, 1)], nice=False)
    axis = alt.Axis(grid=False, tickMinStep=1)
    x = alt.X("position:Q", title=f"token of A{every}", scale=across, axis=axis)
    side = "entropy" if declared.side == "rank" else declared.side
    common = [*_rules(c, items, token, x, colours), *_spots(drawn, x, pick)]
    upper = alt.layer(_curves(drawn, side, unit, across, colours), *common).properties(
        height=150, width="container"
    )
    lower = alt.layer(_bars(drawn, quantity, unit, x, log, colours), *common)
    return upper, lower.properties(height=150, width="container")


def _pooled(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Every so many rows of a long text."""
    step = -(-len(frame) // MAX_POINTS) or 1
    return frame.iloc[::step], step


def _curves(frame: pd.DataFrame, side: str, unit: Unit, across: Any, colours: Theme) -> Any:
    """A and B, a line each; broken where a side has nothing."""
    long = pd.concat(
        [
            frame[["position", "token"]].assign(side=name, value=frame[f"{side}_{name.lower()}"])
            for name in "AB"
        ]
    )
    x = alt.X("position:Q", title=None, scale=across, axis=alt.Axis(grid=False, labels=False, ticks=False))
    return (
        alt.Chart(long)
        .mark_line(strokeWidth=1.5, opacity=0.9)
        .encode(
            x=x,
            y=alt.Y("value:Q", title=f"{side}, {unit}", axis=alt.Axis(tickCount=4, minExtent=_EXTENT)),
            color=alt.Color(
                "side:N",
                title=None,
                scale=alt.Scale(domain=list(colours.sides), range=list(colours.sides.values())),
                legend=alt.Legend(orient="top-right", direction="horizontal", offset=0),
            ),
        )
    )


def _bars(frame: pd.DataFrame, quantity: str, unit: Unit, x: Any, log: bool, colours: Theme) -> Any:
    """The difference, a bar each: in ink, or in the colour of its sign."""
    declared = COMPARED_QUANTITIES[quantity]
    shown = frame.assign(size=frame[quantity].abs() if log else frame[quantity])
    shown = shown[shown["size"].notna()]
    least = float(from_nats(LEAST_LOG, unit, power=declared.power))
    title = declared.label_with_unit(unit)
    if log:
        shown = shown[shown["size"] > least]
        low, high = (float(shown["size"].agg(end)) if len(shown) else 1.0 for end in ("min", "max"))
        low = 10.0 ** np.floor(np.log10(low))
        axis = alt.Axis(**decades(low, 1.1 * high), minExtent=_EXTENT)
        y = alt.Y("size:Q", title=title, scale=alt.Scale(type="log", domain=[low, 1.1 * high]), axis=axis)
        zero = alt.datum(low)
    else:
        y, zero = alt.Y("size:Q", title=title, axis=alt.Axis(tickCount=3, minExtent=_EXTENT)), alt.datum(0)
    hover = [
        alt.Tooltip("position:Q", title="token of A"),
        alt.Tooltip("token:N", title="text"),
        alt.Tooltip(f"{quantity}:Q", format=".4g", title=title),
    ]
    sign = alt.condition(
        f"datum.{quantity} < 0", alt.value(colours.negative), alt.value(colours.positive)
    ) if declared.signed else alt.value(colours.ink)  # fmt: skip
    width = max(1.0, min(6.0, 500 / max(len(frame), 1)))
    return (
        alt.Chart(shown)
        .mark_rule(strokeWidth=width, opacity=0.8, clip=True)
        .encode(x=x, y=y, y2=zero, color=sign, tooltip=hover)
    )


def _rules(c: Comparison, items: Items, token: int | None, x: Any, colours: Theme) -> list[Any]:
    """Dotted where the sides' texts part, solid at the chosen token."""
    layers = []
    edges = items.edges[:_MOST_EDGES]
    if len(edges):
        at = pd.DataFrame({"position": np.minimum(items.start_a[edges], len(c.a.tokens) - 1)})
        layers.append(alt.Chart(at).mark_rule(color=colours.muted, strokeDash=[2, 3]).encode(x=x))
    if token is not None:
        here = pd.DataFrame({"position": [token]})
        layers.append(alt.Chart(here).mark_rule(color=colours.ink, strokeWidth=1.3).encode(x=x))
    return layers


def _spots(frame: pd.DataFrame, x: Any, pick: bool) -> list[Any]:
    if not pick:
        return []
    by_click = alt.selection_point(name="pick", fields=["position"], on="click", nearest=True, empty=False)
    return [alt.Chart(frame).mark_rule(opacity=0, strokeWidth=6).encode(x=x).add_params(by_click)]


def change_quadrants(
    c: Comparison, *, unit: Unit = "nats", theme_name: str = "light", token: int | None = None
) -> alt.LayerChart:
    """Change of entropy against change of surprisal, a mark per token.

    Parameters
    ----------
    c : Comparison
        Two sides.
    unit, theme_name, token
        As for :func:`compared_along`; the token is outlined.
    """
    alt.data_transformers.disable_max_rows()
    colours = theme(theme_name)
    frame = compared_frame(c, unit=unit).dropna(subset=["entropy_change", "surprisal_change"])
    counts = corner_counts(frame)
    across, up = (last_colour(frame[name].to_numpy()) for name in ("entropy_change", "surprisal_change"))
    chosen = frame[frame["position"] == token]
    drawn, step = _pooled(frame)
    every = "" if step == 1 else f" (1 of {step} tokens drawn)"
    x = alt.X(
        "entropy_change:Q", title=f"change of entropy, {unit}{every}", scale=_around(across), axis=_few()
    )
    y = alt.Y("surprisal_change:Q", title=f"change of surprisal, {unit}", scale=_around(up), axis=_few())
    hover = [
        alt.Tooltip("position:Q", title="token of A"),
        alt.Tooltip("token:N", title="text"),
        alt.Tooltip("entropy_change:Q", format="+.4f"),
        alt.Tooltip("surprisal_change:Q", format="+.4f"),
    ]
    pick = alt.selection_point(name="pick", fields=["position"], on="click", empty=False)
    marks = (
        alt.Chart(drawn)
        .mark_circle(size=28, opacity=0.7)
        .encode(
            x=x,
            y=y,
            color=alt.condition(
                "datum.surprisal_change > 0", alt.value(colours.positive), alt.value(colours.negative)
            ),
            tooltip=hover,
        )
        .add_params(pick)
    )
    layers = [_axis_lines(colours), marks, *_corners(counts, across, up, colours)]
    if len(chosen):
        ring = alt.Chart(chosen).mark_point(size=130, stroke=colours.ink, strokeWidth=2, opacity=1)
        layers.append(ring.encode(x=x, y=y, tooltip=hover))
    return styled(alt.layer(*layers).properties(height=270, width="container"), theme_name)


def corner_counts(frame: pd.DataFrame) -> tuple[int, int, int, int]:
    """How many tokens are in each of :data:`CORNERS`; those with a change of exactly 0 are in none."""
    entropy, surprisal = frame["entropy_change"].to_numpy(), frame["surprisal_change"].to_numpy()
    worse, better = surprisal > 0, surprisal < 0
    surer, less = entropy < 0, entropy > 0
    counts = ((surer & worse), (less & worse), (surer & better), (less & better))
    return tuple(int(x.sum()) for x in counts)  # type: ignore[return-value]


def _around(top: float) -> Any:
    return alt.Scale(domain=[-top, top], nice=False, clamp=True)


def _few() -> Any:
    return alt.Axis(grid=False, tickCount=3, format="+~g")


def _axis_lines(colours: Theme) -> Any:
    zero = pd.DataFrame({"zero": [0.0]})
    line = alt.Chart(zero).mark_rule(color=colours.muted, opacity=0.7)
    return alt.layer(line.encode(x="zero:Q"), line.encode(y="zero:Q"))


def _corners(counts: tuple[int, int, int, int], across: float, up: float, colours: Theme) -> list[Any]:
    """Name and number of every quadrant, in its corner."""
    layers = []
    for k, (name, n) in enumerate(zip(CORNERS, counts, strict=True)):
        left, top = k % 2 == 0, k < 2
        at = pd.DataFrame(
            {"x": [-across if left else across], "y": [up if top else -up], "said": [f"{name} {n}"]}
        )
        text = alt.Chart(at).mark_text(
            align="left" if left else "right",
            baseline="top" if top else "bottom",
            dx=3 if left else -3,
            color=colours.muted,
        )
        layers.append(text.encode(x="x:Q", y="y:Q", text="said:N"))
    return layers
