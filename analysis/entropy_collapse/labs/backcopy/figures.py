"""The pictures of the Bigram-Backcopy lab. Runs in, figures out; no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.labels import visible
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.entropy_collapse.labs.backcopy.results import VARIANTS
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    from analysis.entropy_collapse.labs.backcopy.results import BackcopyRun

_COLOURS = dict(zip(VARIANTS, OKABE_ITO, strict=True))
"""One colour for a variant in every chart."""
_FORMING_WIDTH = 640
"""Pixels: charts one above the other cannot fill their container."""
_AFTER = ("ordinary characters", "triggers")
"""Of which queries a line speaks: solid and dashed."""
_DASHES = ([1, 0], [5, 3])


def risks_figure(
    runs: Sequence[BackcopyRun], *, unit: Unit = "nats", theme_name: str = "light"
) -> alt.LayerChart:
    """Risk after ordinary characters and after triggers over steps, with what an oracle would reach.

    Parameters
    ----------
    runs : sequence of BackcopyRun
        At least one; the oracle drawn is the first one's.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    """
    parts = [
        _over_steps(runs, lambda run: from_nats(run.markov, unit)).assign(after=_AFTER[0]),
        _over_steps(runs, lambda run: from_nats(run.backcopy, unit)).assign(after=_AFTER[1]),
    ]
    title = f"risk ({unit})"
    lines = (
        alt.Chart(pd.concat(parts))
        .mark_line(strokeWidth=1.8)
        .encode(
            x=_steps(),
            y=alt.Y("value:Q", title=title),
            color=_colour(runs),
            strokeDash=_dash(),
            detail="seed:N",
            tooltip=[*_who(), alt.Tooltip("after:N"), alt.Tooltip("value:Q", title=title, format=".4f")],
        )
    )
    oracle = runs[0].oracle
    markov = from_nats(oracle.markov, unit)
    # only one is named: at 0 the lines themselves are in the way
    named = _level(markov, f"oracle after {_AFTER[0]}: {markov:.3f} {unit}", title, theme_name, below=True)
    zero = _level(oracle.backcopy, "", title, theme_name)
    return styled(alt.layer(*named, *zero, lines).properties(width="container", height=250), theme_name)


def forming_panels(runs: Sequence[BackcopyRun], *, theme_name: str = "light") -> list[Any]:
    """Sink, value drain and state peak over steps, a chart each.

    Parameters
    ----------
    runs : sequence of BackcopyRun
        At least one. Sink and drain are of each run's layer with the strongest sink at the last look.
    theme_name : {"light", "dark"}
        Colours.
    """
    return [styled(panel, theme_name) for panel in _forming(runs, theme_name)]


def forming_figure(runs: Sequence[BackcopyRun], *, theme_name: str = "light") -> alt.VConcatChart:
    """The panels of :func:`forming_panels` in one figure."""
    panels = [panel.properties(width=_FORMING_WIDTH) for panel in _forming(runs, theme_name)]
    return styled(alt.vconcat(*panels), theme_name)


def _forming(runs: Sequence[BackcopyRun], theme_name: str) -> list[Any]:
    sinks = [
        _over_steps(runs, lambda run: run.sink_ordinary[:, run.sink_layer]).assign(after=_AFTER[0]),
        _over_steps(runs, lambda run: run.sink_trigger[:, run.sink_layer]).assign(after=_AFTER[1]),
    ]
    drain = _over_steps(runs, lambda run: run.value_drain[:, run.sink_layer]).assign(after=_AFTER[0])
    peak = _over_steps(runs, lambda run: run.residual_peak).assign(after=_AFTER[0])
    uniform = float((1 / np.arange(2, runs[0].settings.length + 1)).mean())
    same = "as large as the others'"
    return [
        _panel(
            pd.concat(sinks), "attention on token 0", runs, uniform, "uniform attention", theme_name, True
        ),
        _panel(drain, "value norm / others'", runs, 1.0, same, theme_name, False),
        _panel(peak, "state norm / others'", runs, 1.0, same, theme_name, False),
    ]


def _panel(
    frame: pd.DataFrame,
    title: str,
    runs: Sequence[BackcopyRun],
    level: float,
    level_name: str,
    theme_name: str,
    legend: bool,
) -> Any:
    """Lines over steps with one level to compare with; the first panel carries the legends."""
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5))
    who = [*_who(), *([alt.Tooltip("after:N", title="queries")] if legend else [])]
    lines = (
        alt.Chart(frame)
        .mark_line(strokeWidth=1.8)
        .encode(
            x=_steps(),
            y=y,
            color=_colour(runs, legend),
            strokeDash=_dash(legend),
            detail="seed:N",
            tooltip=[*who, alt.Tooltip("value:Q", title=title, format=".4g")],
        )
    )
    named = _level(level, level_name, title, theme_name)
    return alt.layer(*named, lines).properties(width="container", height=210 if legend else 170)


def _level(
    value: float, name: str, title: str, theme_name: str, *, below: bool = False
) -> tuple[alt.Chart, alt.Chart]:
    """A dotted level to compare with, and its name at the right end."""
    muted = theme(theme_name).muted
    base = alt.Chart(pd.DataFrame({"level": [value], "name": [name]})).encode(y=alt.Y("level:Q", title=title))
    text = base.mark_text(
        align="right", baseline="top" if below else "bottom", dy=4 if below else -2, color=muted
    )
    rule = base.mark_rule(color=muted, strokeDash=[2, 3])
    return rule, text.encode(x=alt.value("width"), text="name:N")


def first_token_figure(run: BackcopyRun, layer: int | None = None, *, theme_name: str = "light") -> alt.Chart:
    """Attention on token 0 by the character that attends, at the last look of a run.

    Parameters
    ----------
    run : BackcopyRun
        A run.
    layer : int, optional
        Counted from 0; the one with the strongest sink by default.
    theme_name : {"light", "dark"}
        Colours.
    """
    layer = run.sink_layer if layer is None else layer
    frame = character_frame(run, layer)
    frame["character"] = [visible(c) for c in frame["character"]]
    top = max(1.0, float(frame["attention"].max()))  # ReLU weights may exceed 1
    names, colours = ["ordinary", "trigger"], theme(theme_name)
    chart = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X(
                "character:N",
                title="character that attends",
                sort=alt.SortField("attention", order="descending"),
                axis=alt.Axis(labelAngle=0, labelOverlap=False),
            ),
            y=alt.Y("attention:Q", title="attention on token 0", scale=alt.Scale(domain=[0, top])),
            color=alt.Color(
                "kind:N",
                title=None,
                scale=alt.Scale(domain=names, range=[colours.pictures["attention_sinks"], colours.positive]),
            ),
            tooltip=["character:N", "kind:N", alt.Tooltip("attention:Q", format=".4f")],
        )
    )
    return styled(chart.properties(width="container", height=230), theme_name)


def character_frame(run: BackcopyRun, layer: int | None = None) -> pd.DataFrame:
    """Table behind :func:`first_token_figure`: characters that never came are left out."""
    layer = run.sink_layer if layer is None else layer
    is_trigger = np.isin(np.arange(len(run.characters)), run.triggers)
    return pd.DataFrame(
        {
            "character": list(run.characters),
            "kind": np.where(is_trigger, "trigger", "ordinary"),
            "layer": layer,
            "attention": run.by_character[layer],
        }
    ).dropna(ignore_index=True)


def _over_steps(runs: Sequence[BackcopyRun], of: Callable[[BackcopyRun], np.ndarray]) -> pd.DataFrame:
    """One row per run and look."""
    return pd.concat(
        pd.DataFrame(
            {"run": run.settings.variant, "seed": run.settings.seed, "step": run.step, "value": of(run)}
        )
        for run in runs
    )


def _steps() -> alt.X:
    return alt.X("step:Q", title="step", axis=alt.Axis(grid=False, tickMinStep=1, tickCount=10))


def _colour(runs: Sequence[BackcopyRun], legend: bool = True) -> alt.Color:
    names = [variant for variant in VARIANTS if any(run.settings.variant == variant for run in runs)]
    scale = alt.Scale(domain=names, range=[_COLOURS[name] for name in names])
    return alt.Color("run:N", title=None, scale=scale, legend=alt.Legend(labelLimit=300) if legend else None)


def _dash(legend: bool = True) -> alt.StrokeDash:
    scale = alt.Scale(domain=list(_AFTER), range=list(_DASHES))
    return alt.StrokeDash("after:N", title=None, scale=scale, legend=alt.Legend() if legend else None)


def _who() -> list[Any]:
    return [alt.Tooltip("run:N"), alt.Tooltip("seed:Q"), alt.Tooltip("step:Q")]
