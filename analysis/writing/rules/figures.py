"""A rule laid over a text, as a chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import MAX_POINTS, styled
from analysis.drawing.labels import visible
from analysis.drawing.theme import theme
from analysis.results.tokens import TokenTrace, printable
from analysis.units import Unit, from_nats
from analysis.writing.rules.overlays import Overlay

if TYPE_CHECKING:
    import altair as alt


def rule_chart(
    tokens: TokenTrace,
    overlay: Overlay,
    *,
    first: int = 0,
    unit: Unit = "nats",
    theme_name: str = "light",
    token: int | None = None,
) -> alt.LayerChart:
    """Entropy along a text, the level that a rule compares with, and the tokens that it would act at.

    Parameters
    ----------
    tokens : TokenTrace
        What the overlay is of.
    overlay : Overlay
        From :func:`~.overlays.overlay`.
    first : int, default 0
        First token that is drawn.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    token : int, optional
        A position to mark.

    Notes
    -----
    Triangles are the marked tokens, each at its own entropy, all of them in long texts too. A level that is no
    information, such as a number of trials, has the axis on the right.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    colours = theme(theme_name)
    entropy, other = colours.pictures["token_entropy"], colours.pictures["attention_sinks"]
    frame = _frame(tokens, overlay, unit).iloc[first:]
    step = -(-len(frame) // MAX_POINTS) or 1
    every = "" if step == 1 else f", 1 of {step} drawn"
    x = alt.X("position:Q", title=f"token{every}", axis=alt.Axis(grid=False, tickMinStep=1, format="d"))
    hover = [alt.Tooltip("word:N", title="token"), alt.Tooltip("position:Q")]
    hover += [alt.Tooltip("entropy:Q", format=".4f", title=f"entropy ({unit})")]
    level_title = f"{overlay.level_name} ({unit})" if overlay.level_power else overlay.level_name
    hover += [alt.Tooltip("level:Q", format=".4g", title=level_title)] if overlay.level is not None else []
    lines = alt.Chart(frame.iloc[::step])
    up = alt.Y("entropy:Q", title=unit if overlay.level_power else f"entropy ({unit})")
    layers: list[Any] = [lines.mark_line(color=entropy, strokeWidth=2).encode(x=x, y=up)]
    if overlay.level_power:
        layers.append(_level(lines, other, alt.Y("level:Q", title=unit), x))
    marks = alt.Chart(frame[frame["marked"]]).mark_point(
        shape="triangle-down", filled=True, size=80, opacity=1
    )
    layers.append(marks.encode(x=x, y=up, color=alt.value(other), tooltip=hover))
    if step == 1:
        layers.append(alt.Chart(frame).mark_rule(opacity=0, strokeWidth=6).encode(x=x, tooltip=hover))
    chart = alt.layer(*layers)
    if overlay.level is not None and not overlay.level_power:
        right = alt.Y("level:Q", title=level_title, axis=alt.Axis(grid=False, tickMinStep=1))
        chart = alt.layer(chart, _level(lines, other, right, x)).resolve_scale(y="independent")
    if token is not None:
        here = alt.Chart(pd.DataFrame({"position": [token]})).mark_rule(color=colours.ink, strokeWidth=1.3)
        chart += here.encode(x=x)
    return styled(chart.properties(height=180, width="container"), theme_name)


def with_token(spec: dict[str, Any], token: int, theme_name: str = "light") -> dict[str, Any]:
    """The spec of :func:`rule_chart` with a position marked: a choice moves it and makes no chart anew.

    Parameters
    ----------
    spec : dict
        Vega-Lite; stays as it is.
    token : int
        The position.
    theme_name : {"light", "dark"}
        Colours.
    """
    first = spec
    while "layer" in first:
        first = first["layer"][0]
    here = {
        "data": {"values": [{"position": token}]},
        "mark": {"type": "rule", "color": theme(theme_name).ink, "strokeWidth": 1.3},
        "encoding": {"x": first["encoding"]["x"]},
    }
    return spec | {"layer": [*spec["layer"], here]}


def _level(lines: Any, colour: str, y: Any, x: Any) -> Any:
    return lines.mark_line(color=colour, strokeWidth=1.2, strokeDash=[5, 3]).encode(x=x, y=y)


def _frame(tokens: TokenTrace, overlay: Overlay, unit: Unit) -> pd.DataFrame:
    power = overlay.level_power
    level = (
        np.full(len(tokens), np.nan) if overlay.level is None else from_nats(overlay.level, unit, power=power)
    )
    return pd.DataFrame(
        {
            "position": np.arange(len(tokens)),
            "word": [visible(printable(text)) for text in tokens.text],
            "entropy": from_nats(tokens.entropy.astype(np.float64), unit),
            "level": level,
            "marked": overlay.marks,
        }
    )
