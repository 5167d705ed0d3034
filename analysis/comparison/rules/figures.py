"""Rules over two sides, drawn: along the text, as a curve, and as a scatter of quadrants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.comparison.rules.laid import Curve, Laid, places
from analysis.comparison.rules.strips import laid_strip
from analysis.comparison.rules.tip import QUADRANTS, Quadrants
from analysis.drawing.charts import MAX_POINTS, styled
from analysis.drawing.labels import visible
from analysis.drawing.strip_figure import StripFigure, strip_figure
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.units import Unit, from_nats, unit_label

if TYPE_CHECKING:
    import altair as alt

    from analysis.comparison.results import Comparison

HEIGHT = 180


def laid_chart(
    c: Comparison,
    laid: Laid,
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
    item: int | None = None,
) -> alt.LayerChart:
    """A rule's number along the aligned tokens, what it is held against, and what is marked.

    Parameters
    ----------
    c : Comparison
        What the rule was laid over.
    laid : Laid
        The rule.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    item : int, optional
        Pair, or span, to show as chosen.

    Notes
    -----
    Triangles are the marked ones, each at its own value, all of them in long texts too.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    colours = theme(theme_name)
    drawn = laid.quantities[0]
    frame = _along(c, laid, unit)
    step = -(-len(frame) // MAX_POINTS) or 1
    every = "" if step == 1 else f", 1 of {step} drawn"
    what = "token of A" if laid.over == "pairs" else "span"
    x = alt.X("position:Q", title=f"{what}{every}", axis=alt.Axis(grid=False, tickMinStep=1, format="d"))
    y = alt.Y("v0:Q", title=drawn.title(unit))
    hover = [alt.Tooltip("word:N", title="text"), alt.Tooltip("position:Q", title=what)]
    hover += [
        alt.Tooltip(f"v{i}:Q", format=".4g", title=one.title(unit)) for i, one in enumerate(laid.quantities)
    ]
    line = alt.Chart(frame.iloc[::step]).mark_line(color=colours.pictures["attention_sinks"], strokeWidth=1.6)
    layers: list[Any] = [line.encode(x=x, y=y)]
    if laid.limit is not None:
        limit = pd.DataFrame({"limit": [from_nats(laid.limit, unit, power=drawn.power)]})
        rule = alt.Chart(limit).mark_rule(color=colours.muted, strokeDash=[5, 3], strokeWidth=1.2)
        layers.append(rule.encode(y=alt.Y("limit:Q", title=drawn.title(unit))))
    marks = alt.Chart(frame[frame["marked"]]).mark_point(
        shape="triangle-down", filled=True, size=70, opacity=1
    )
    layers.append(marks.encode(x=x, y=y, color=alt.value(colours.pictures["pruning_effects"]), tooltip=hover))
    if step == 1:
        layers.append(alt.Chart(frame).mark_rule(opacity=0, strokeWidth=6).encode(x=x, tooltip=hover))
    if item is not None:
        here = pd.DataFrame({"position": [int(frame["position"].iloc[item])]})
        layers.append(alt.Chart(here).mark_rule(color=colours.ink, strokeWidth=1.3).encode(x=x))
    return styled(alt.layer(*layers).properties(height=HEIGHT, width="container"), theme_name)


def laid_text(c: Comparison, laid: Laid, *, unit: Unit = "nats", theme_name: str = "light") -> StripFigure:
    """The text of A coloured by a rule's number, with its marks, as HTML for a notebook or a file.

    Parameters
    ----------
    c, laid, unit, theme_name
        As for :func:`laid_chart`.
    """
    strip = laid_strip(c, laid, unit=unit)
    return strip_figure(strip, theme_name=theme_name, caption=laid.origin.sides)


def curve_chart(curve: Curve, *, unit: Unit = "nats", theme_name: str = "light") -> alt.LayerChart:
    """Lines of a rule over one pair of axes; a place is a dot.

    Parameters
    ----------
    curve : Curve
        Such as that of a router.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    x_title, y_title = (
        f"{name} ({unit_label(unit)})" if power else name
        for name, power in ((curve.x_name, curve.x_power), (curve.y_name, curve.y_power))
    )
    x = alt.X("x:Q", title=x_title, scale=alt.Scale(zero=False), axis=alt.Axis(grid=False))
    y = alt.Y("y:Q", title=y_title, scale=alt.Scale(zero=False))
    names = [line.name for line in curve.lines]
    colour = alt.Color(
        "line:N",
        title=None,
        scale=alt.Scale(domain=names, range=[OKABE_ITO[i % len(OKABE_ITO)] for i in range(len(names))]),
        legend=alt.Legend(symbolType="stroke") if len(names) > 1 else None,
    )
    hover = [
        alt.Tooltip("line:N"),
        alt.Tooltip("x:Q", format=".4g", title=x_title),
        alt.Tooltip("y:Q", format=".4g", title=y_title),
    ]
    frame = _points(curve.lines, curve, unit)
    lines = alt.Chart(frame).mark_line(strokeWidth=1.8, point={"size": 18, "filled": True})
    layers: list[Any] = [lines.encode(x=x, y=y, color=colour, order="order:Q", tooltip=hover)]
    if curve.places:
        dots = alt.Chart(_points(curve.places, curve, unit)).mark_point(
            filled=True, size=110, opacity=1, color=theme(theme_name).ink
        )
        layers.append(dots.encode(x=x, y=y, tooltip=hover))
    return styled(alt.layer(*layers).properties(height=HEIGHT, width="container"), theme_name)


def quadrant_chart(
    c: Comparison, found: Quadrants, *, theme_name: str = "light", item: int | None = None
) -> alt.LayerChart:
    """Every token by the student's entropy and its divergence from the teacher, with the cuts.

    Parameters
    ----------
    c : Comparison
        Of a student and a teacher.
    found : Quadrants
        From :func:`~.tip.quadrants`.
    theme_name : {"light", "dark"}
        Colours.
    item : int, optional
        Pair to show as chosen.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    colours = theme(theme_name)
    where = places(c)
    frame = pd.DataFrame(
        {
            "position": where["position_a"],
            "word": [visible(str(text)) for text in where["token"]],
            "h": found.entropy,
            "d": found.divergence,
            "quadrant": [f"{q} {QUADRANTS[q]}" if q else "" for q in found.quadrant.tolist()],
        }
    )
    there = frame[found.quadrant > 0]
    names = [f"{q} {name}" for q, name in QUADRANTS.items()]
    x = alt.X("h:Q", title="entropy of A / ln V", scale=alt.Scale(zero=False), axis=alt.Axis(grid=False))
    y = alt.Y("d:Q", title="Jensen-Shannon divergence / ln 2")
    hover = [
        alt.Tooltip("word:N", title="token"),
        alt.Tooltip("position:Q", title="token of A"),
        alt.Tooltip("h:Q", format=".4f"),
        alt.Tooltip("d:Q", format=".4f"),
        alt.Tooltip("quadrant:N"),
    ]
    colour = alt.Color(
        "quadrant:N", title=None, scale=alt.Scale(domain=names, range=list(OKABE_ITO[: len(names)]))
    )
    step = -(-len(there) // MAX_POINTS) or 1
    points = alt.Chart(there.iloc[::step]).mark_point(filled=True, size=36, opacity=0.75)
    layers: list[Any] = [points.encode(x=x, y=y, color=colour, tooltip=hover)]
    cut: dict[str, Any] = {"color": colours.muted, "strokeDash": [5, 3], "strokeWidth": 1.2}
    layers.append(alt.Chart(pd.DataFrame({"h": [found.cut_entropy]})).mark_rule(**cut).encode(x=x))
    layers.append(alt.Chart(pd.DataFrame({"d": [found.cut_divergence]})).mark_rule(**cut).encode(y=y))
    if item is not None and found.quadrant[item]:
        one = alt.Chart(frame.iloc[[item]]).mark_point(size=160, color=colours.ink, strokeWidth=2)
        layers.append(one.encode(x=x, y=y))
    return styled(alt.layer(*layers).properties(height=300, width="container"), theme_name)


def _along(c: Comparison, laid: Laid, unit: Unit) -> pd.DataFrame:
    """What a rule says at every pair or span."""
    where = places(c, laid.over)
    position, text = (
        (where["position_a"], where["token"]) if laid.over == "pairs" else (where["span"], where["text"])
    )
    columns = {f"v{i}": one.in_unit(unit) for i, one in enumerate(laid.quantities)}
    words = [visible(str(word)) for word in text]
    return pd.DataFrame({"position": position, "word": words, "marked": laid.marks, **columns})


def _points(lines: Any, curve: Curve, unit: Unit) -> pd.DataFrame:
    """Points of lines in a unit."""
    parts = [
        pd.DataFrame(
            {
                "line": line.name,
                "order": np.arange(len(line.x)),
                "x": from_nats(line.x, unit, power=curve.x_power),
                "y": from_nats(line.y, unit, power=curve.y_power),
            }
        )
        for line in lines
    ]
    return pd.concat(parts, ignore_index=True)
