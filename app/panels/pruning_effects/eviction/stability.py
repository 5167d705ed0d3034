"""Pruning effects: whether small noise makes a method keep other tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.panels.pruning_effects import help as readings
from app.panels.pruning_effects.eviction.asked import reading, reading_code
from app.panels.pruning_effects.eviction.options import share_kept
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.on_demand import Wanted, on_demand

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.compute.requests import RunRequest
    from app.panels.pruning_effects.eviction.asked import Asked


@st.fragment
def stability(trace: Trace, asked: Asked) -> None:
    """Whether small noise makes a method keep other tokens."""
    continuation = asked.continuation + asked.answer

    def controls(request: RunRequest, left: Any) -> Wanted:
        share = share_kept(left, "stability")

        def compute(model: LanguageModel, job: Job) -> Any:
            from analysis.pruning_effects.eviction.stability import rank_stability

            return rank_stability(
                model,
                asked.context,
                continuation,
                asked.methods(),
                share,
                on_progress=job.report,
                **reading(request),
            )

        def draw(frame: Any) -> None:
            imports, methods = asked.methods_code()
            call = f"stable = an.rank_stability(\n    model, {asked.context!r}, {continuation!r},\n    {methods}, {share:g}{reading_code(trace)},\n)\n"
            _draw_stability(
                frame, share, notebook_code(trace, f"{imports}{call}an.figures.stability_chart(stable)")
            )

        options = (("c", asked.context), ("q", continuation), ("share", share), *asked.methods_key())
        return Wanted(compute, draw, options)

    on_demand(
        "stability",
        "Stability",
        "Adds small noise to the context's embeddings: do the methods still keep the same tokens, and who pays for it?",
        "Add noise",
        controls,
        widths=[1.2, 1],
        height=220,
        stretch=False,
    )


def _draw_stability(frame: Any, share: float, code: str) -> None:
    from analysis.pruning_effects.eviction.cost_figures import stability_chart

    unit = state.unit()
    with altair_card(
        "Ranks under noise, and what the noise costs",
        "Left: 1 means that the noise changed nothing. Right: what it did to the predictions, with and without pruning.",
        lambda: stability_chart(frame, unit=unit, theme_name=state.theme_name()),
        alt="Rank stability and damage by method and noise",
        name="stability",
        table=lambda: frame,
        code=code,
        spec=f"{share:.0%} of the context kept · 2 draws per noise",
        more=readings.STABILITY,
    ) as draw:
        draw()
