"""Attention sinks: massive activations and the drain after the output projection, on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.attention_sinks.massive import output_drain_range
from analysis.attention_sinks.state_figures import massive_chart
from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from app import state
from app.panels.attention_sinks import help as explained
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.on_demand import Wanted, on_demand
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.attention_sinks.massive import Extremes
    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace
    from app.compute.job import Job


def massive_activations(trace: Trace) -> None:
    """Largest values of the residual stream, layer by layer."""

    def compute(model: LanguageModel, job: Job) -> Extremes:
        from analysis.attention_sinks.extremes import extreme_tokens

        return extreme_tokens(model, trace, on_progress=job.report)

    on_demand(
        "extremes",
        "Massive activations",
        "The largest single values of the states, and how small the sink's projected values are.",
        "Find massive activations",
        lambda _request: Wanted(compute, lambda extremes: _draw(trace, extremes)),
        why="They are read from the model's states; a file holds none.",
        widths=[1],
        height=300,
        stretch=False,
    )


def _draw(trace: Trace, extremes: Extremes) -> None:
    layer, place, times = extremes.largest
    token = int(extremes.token[layer, place])
    with altair_card(
        "Largest activation of each layer",
        f"Largest: **{significant(float(extremes.value[layer, place]))}** at layer {layer}, token {count(token)} "
        f"“{plain(visible(trace.tokens.text[token]))}”, dimension {int(extremes.dimension[layer, place])}: "
        f"**{significant(times)}** times the layer's median (dashed). {_drain(extremes)}",
        lambda: massive_chart(extremes, theme_name=state.theme_name()),
        alt="Largest activation and median of each layer",
        name="massive",
        phrase="against the median",
        table=extremes.to_frame,
        code=notebook_code(trace, "an.figures.massive_chart(an.extreme_tokens(model, trace))"),
        more=explained.MASSIVE,
    ) as draw:
        draw()


def _drain(extremes: Extremes) -> str:
    if extremes.value_out_norm is None:
        return plain(f"Drain after the output projection: not available. {extremes.unavailable}")
    least, most = output_drain_range(extremes)
    return (
        f"Token 0's values after the output projection: median over heads from **{significant(least)}** to "
        f"**{significant(most)}** times the others'."
    )
