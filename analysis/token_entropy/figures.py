"""The pictures of token entropy. Results in, figures out; no model, no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import MAX_POINTS, styled
from analysis.drawing.labels import visible
from analysis.drawing.strip_figure import StripFigure, strip_figure
from analysis.drawing.theme import theme
from analysis.results.token_quantities import TOKEN_QUANTITIES
from analysis.token_entropy.measures import (
    FORKING_SHARE,
    TRIGGER_FACTOR,
    TRIGGER_WINDOW,
    forking_tokens,
    moving_threshold,
    quadrants,
    triggers,
)
from analysis.token_entropy.strips import Mark, entropy_strip, marked_tokens
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import altair as alt

    from analysis.results.tokens import TokenTrace
    from analysis.results.trace import Trace

QUADRANT_ORDER = ("sure", "spread", "torn", "lost", "between")
QUADRANT_COLOURS = {
    "sure": "#009E73",
    "spread": "#0072B2",
    "torn": "#CC79A7",
    "lost": "#D55E00",
    "between": "#999999",
}
QUADRANT_SHAPES = {
    "sure": "circle",
    "spread": "square",
    "torn": "triangle-up",
    "lost": "diamond",
    "between": "cross",
}


_TRIGGER = "trigger"


def token_strip(
    trace: Trace,
    quantity: str = "entropy",
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
    mark: Mark = "forking tokens",
    share: float = FORKING_SHARE,
    window: int = TRIGGER_WINDOW,
    factor: float = TRIGGER_FACTOR,
) -> StripFigure:
    """The text with every token coloured by a quantity, as HTML for a notebook or a file.

    Parameters
    ----------
    trace : Trace
        A run.
    quantity : str
        One of :data:`analysis.results.token_quantities.TOKEN_QUANTITIES`.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    mark, share, window, factor
        As for :func:`analysis.token_entropy.strips.marked_tokens`.
    """
    marked, name = marked_tokens(trace.tokens.entropy, mark, share=share, window=window, factor=factor)
    strip = entropy_strip(
        trace.tokens,
        quantity,
        unit=unit,
        vocab_size=trace.spec.vocab_size,
        marked=marked,
        marked_name=name,
    )
    return strip_figure(strip, theme_name=theme_name, caption=trace.spec.subtitle)


def _frame(tokens: TokenTrace, unit: Unit, *quantities: str) -> pd.DataFrame:
    """One row per token: position, text, and quantities in the unit."""
    values = {name: TOKEN_QUANTITIES[name].in_unit(tokens, unit) for name in quantities}
    texts = [visible(text) for text in tokens.text]
    return pd.DataFrame({"position": np.arange(len(tokens)), "token": texts, **values})


def _hover(unit: Unit, *quantities: str) -> list[alt.Tooltip]:
    """What a mark of :func:`_frame` says under the mouse."""
    import altair as alt

    titles = {name: TOKEN_QUANTITIES[name].label_with_unit(unit) for name in quantities}
    return [
        alt.Tooltip("position:Q", title="token"),
        alt.Tooltip("token:N", title="text"),
        *(alt.Tooltip(f"{name}:Q", format=".4f", title=title) for name, title in titles.items()),
    ]


def _pooled(frame: pd.DataFrame, columns: list[str]) -> tuple[pd.DataFrame, int]:
    """Average neighbouring rows until the frame is short enough; returns rows per point."""
    step = -(-len(frame) // MAX_POINTS)
    if step == 1:
        return frame, 1
    grouped = frame.groupby(np.arange(len(frame)) // step)
    out = grouped[columns].mean()
    out["position"] = grouped["position"].first()
    out["token"] = "mean of " + str(step) + " tokens"
    return out, step


def along_text(
    trace: Trace,
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
    share: float = FORKING_SHARE,
    show_threshold: bool = True,
    window: int = TRIGGER_WINDOW,
    factor: float = TRIGGER_FACTOR,
    token: int | None = None,
    pick: bool = False,
) -> alt.LayerChart:
    """Entropy and surprisal along the text, with forking tokens, and SRGen's threshold with its triggers.

    Triangles are the tokens above the threshold, each at its own entropy, in long texts too. Texts beyond :data:`analysis.drawing.charts.MAX_POINTS` tokens are averaged over
    equal stretches; the axis title says over how many tokens. ``token`` is marked with a line; ``pick`` adds a click
    selection of that name on ``position``.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    colours, tokens = theme(theme_name), trace.tokens
    accent = colours.pictures["token_entropy"]
    threshold = moving_threshold(tokens.entropy, window, factor)
    frame = _frame(tokens, unit, "entropy", "surprisal")
    frame["threshold"] = from_nats(threshold, unit)
    forks = frame[forking_tokens(tokens.entropy, share)]
    jumps = frame[triggers(tokens.entropy, threshold) & show_threshold]
    lines, step = _pooled(frame, ["entropy", "surprisal", "threshold"])
    per_point = "" if step == 1 else f", mean of {step} tokens"
    x = alt.X("position:Q", title=f"token{per_point}", axis=alt.Axis(grid=False, tickMinStep=1))
    drawn = [lines[["entropy", "surprisal"]].to_numpy().ravel(), jumps["entropy"].to_numpy()]
    top = max(float(np.nanmax(np.concatenate(drawn))), 1e-6)
    scale = alt.Scale(domain=[0, top])
    hover = _hover(unit, "entropy", "surprisal")
    names = ["entropy", "surprisal"] + (["moving threshold"] if show_threshold else [])
    names += [_TRIGGER] if len(jumps) else []
    other = colours.pictures["attention_sinks"]
    colour = alt.Scale(domain=names, range=[accent, colours.muted, other, other][: len(names)])

    def line(column: str, name: str, width: float, dash: list[int], opacity: float) -> alt.Chart:
        return (
            alt.Chart(lines)
            .mark_line(strokeWidth=width, strokeDash=dash, opacity=opacity, clip=True)
            .encode(
                x=x,
                y=alt.Y(f"{column}:Q", title=unit, scale=scale),
                color=alt.Color("series:N", scale=colour, title=None),
            )
            .transform_calculate(series=f"'{name}'")
        )

    layers: list[Any] = [line("surprisal", "surprisal", 1, [1, 0], 0.7)]
    if show_threshold:
        layers.append(line("threshold", "moving threshold", 1.2, [5, 3], 0.9))
    layers.append(line("entropy", "entropy", 2, [1, 0], 1))
    if step == 1:
        dots = alt.Chart(forks).mark_point(filled=True, size=34, opacity=1, color=accent, stroke=colours.ink)
        layers.append(dots.encode(x=x, y=alt.Y("entropy:Q", scale=scale), tooltip=hover))
        anywhere = alt.Chart(frame).mark_rule(opacity=0, strokeWidth=6)
        layers.append(anywhere.encode(x=x, tooltip=hover))
    if len(jumps):
        marks = alt.Chart(jumps).mark_point(shape="triangle-down", filled=True, size=90, opacity=1)
        y, series = alt.Y("entropy:Q", scale=scale), alt.Color("series:N", scale=colour, title=None)
        said = [*hover, alt.Tooltip("threshold:Q", format=".4f", title=f"threshold ({unit})")]
        layers.append(
            marks.encode(x=x, y=y, color=series, tooltip=said).transform_calculate(series=f"'{_TRIGGER}'")
        )
    if token is not None:
        here = alt.Chart(pd.DataFrame({"position": [token]})).mark_rule(color=colours.ink, strokeWidth=1.3)
        layers.append(here.encode(x=x))
    if pick:
        spots = alt.Chart(lines).mark_rule(opacity=0, strokeWidth=6).encode(x=x)
        by_click = alt.selection_point(
            name="pick", fields=["position"], on="click", nearest=True, empty=False
        )
        layers.append(spots.add_params(by_click))
    return styled(alt.layer(*layers).properties(height=220, width="container"), theme_name)


def surprisal_scatter(
    trace: Trace, *, unit: Unit = "nats", theme_name: str = "light", token: int | None = None
) -> alt.LayerChart:
    """Entropy against surprisal, one mark per token, by varentropy quadrant.

    On the diagonal a token was as surprising as the model expected on average. ``token`` is outlined.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    colours, tokens = theme(theme_name), trace.tokens
    shown = ("entropy", "surprisal", "varentropy")
    frame = _frame(tokens, unit, *shown)
    frame["class"] = quadrants(tokens.entropy, tokens.varentropy)
    frame = frame[tokens.has_context]
    step = -(-len(frame) // MAX_POINTS)
    every = "" if step == 1 else f" (1 of {step} tokens drawn)"
    chosen = frame[frame["position"] == token]
    frame = frame.iloc[::step]
    top = float(frame[["entropy", "surprisal"]].to_numpy().max())
    order = list(QUADRANT_ORDER)
    pick = alt.selection_point(name="pick", fields=["position"], on="click", empty=False)
    marks = (
        alt.Chart(frame)
        .mark_point(filled=True, size=46, opacity=0.75)
        .encode(
            x=alt.X("entropy:Q", title=f"entropy before the token ({unit}){every}"),
            y=alt.Y("surprisal:Q", title=f"surprisal of the token ({unit})"),
            color=alt.Color(
                "class:N",
                title=None,
                scale=alt.Scale(domain=order, range=[QUADRANT_COLOURS[c] for c in order]),
                legend=alt.Legend(orient="top"),
            ),
            shape=alt.Shape(
                "class:N",
                title=None,
                scale=alt.Scale(domain=order, range=[QUADRANT_SHAPES[c] for c in order]),
            ),
            stroke=alt.condition(pick, alt.value(colours.ink), alt.value("transparent")),
            tooltip=[*_hover(unit, *shown), alt.Tooltip("class:N", title="class")],
        )
        .add_params(pick)
    )
    diagonal = (
        alt.Chart(pd.DataFrame({"a": [0.0, top]}))
        .mark_line(strokeDash=[4, 4], color=colours.muted)
        .encode(x="a:Q", y="a:Q")
    )
    ring = alt.Chart(chosen).mark_point(size=150, stroke=colours.ink, strokeWidth=2, filled=False, opacity=1)
    ring = ring.encode(x="entropy:Q", y="surprisal:Q", tooltip=_hover(unit, *shown))
    layers = [diagonal, marks, ring] if len(chosen) else [diagonal, marks]
    return styled(alt.layer(*layers).properties(height=320, width="container"), theme_name)


def entropy_histogram(
    trace: Trace, position: int | None = None, *, unit: Unit = "nats", theme_name: str = "light"
) -> alt.LayerChart:
    """Distribution of entropy over the text, with a rule at one token's value."""
    import altair as alt

    colours, tokens = theme(theme_name), trace.tokens
    values = from_nats(tokens.entropy[tokens.has_context].astype(float), unit)
    counts, edges = np.histogram(values, bins=24, range=(0, max(float(values.max()), 1e-6)))
    frame = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "tokens": counts})
    bars = (
        alt.Chart(frame)
        .mark_bar(color=colours.pictures["token_entropy"], opacity=0.55)
        .encode(
            x=alt.X("low:Q", title=f"entropy ({unit})", bin="binned"),
            x2="high:Q",
            y=alt.Y("tokens:Q", title="tokens"),
            tooltip=[
                alt.Tooltip("low:Q", format=".3f", title="from"),
                alt.Tooltip("high:Q", format=".3f", title="to"),
                "tokens:Q",
            ],
        )
    )
    layers: list[Any] = [bars]
    if position is not None and not np.isnan(tokens.entropy[position]):
        here = pd.DataFrame({"here": [float(from_nats(float(tokens.entropy[position]), unit))]})
        layers.append(alt.Chart(here).mark_rule(color=colours.ink, strokeWidth=2).encode(x="here:Q"))
    return styled(alt.layer(*layers).properties(height=110, width="container"), theme_name)


__all__ = [
    "along_text",
    "entropy_histogram",
    "surprisal_scatter",
    "token_strip",
]
