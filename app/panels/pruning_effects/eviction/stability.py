"""Pruning effects: whether small noise makes a method keep other tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.panels.pruning_effects import help as explained
from app.panels.pruning_effects.eviction.options import share_kept
from app.panels.pruning_effects.eviction.sweep_request import tokenization_code, tokenization_options
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.on_demand import Wanted, on_demand

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.compute.requests import RunRequest
    from app.panels.pruning_effects.eviction.sweep_request import SweepRequest


@st.fragment
def stability(trace: Trace, sweep_request: SweepRequest) -> None:
    """Whether small noise makes a method keep other tokens."""
    continuation = sweep_request.continuation + sweep_request.answer

    def controls(request: RunRequest, left: Any) -> Wanted:
        share = share_kept(left, "stability")

        def compute(model: LanguageModel, job: Job) -> Any:
            from analysis.pruning_effects.eviction.stability import rank_stability

            return rank_stability(
                model,
                sweep_request.context,
                continuation,
                sweep_request.methods(),
                share,
                on_progress=job.report,
                **tokenization_options(request),
            )

        def draw(frame: Any) -> None:
            imports, methods = sweep_request.methods_code()
            call = f"stable = an.rank_stability(\n    model, {sweep_request.context!r}, {continuation!r},\n    {methods}, {share:g}{tokenization_code(trace)},\n)\n"
            _draw_stability(
                frame, share, notebook_code(trace, f"{imports}{call}an.figures.stability_chart(stable)")
            )

        options = (
            ("c", sweep_request.context),
            ("q", continuation),
            ("share", share),
            *sweep_request.methods_key(),
        )
        return Wanted(compute, draw, options)

    on_demand(
        "stability",
        "Stability",
        "Adds small noise to the context's embeddings: do the methods still keep the same tokens, and how far do the predictions move?",
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
        "Ranks under noise, and the damage of the noise",
        "Left: 1 means that the noise changed nothing. Right: what it did to the predictions, with and without pruning.",
        lambda: stability_chart(frame, unit=unit, theme_name=state.theme_name()),
        alt="Rank stability and damage by method and noise",
        name="stability",
        table=lambda: frame,
        code=code,
        spec=f"{share:.0%} of the context kept · 2 draws per noise",
        more=explained.STABILITY,
    ) as draw:
        draw()
