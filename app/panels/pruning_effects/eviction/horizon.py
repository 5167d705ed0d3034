"""Pruning effects: from which layer on a phrase is no longer needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.panels.pruning_effects import help as explained
from app.panels.pruning_effects.eviction.sweep_request import tokenization_code, tokenization_options
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.on_demand import Wanted, on_demand

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.compute.requests import RunRequest
    from app.panels.pruning_effects.eviction.sweep_request import SweepRequest


@st.fragment
def horizon(trace: Trace, sweep: Sweep, sweep_request: SweepRequest) -> None:
    """From which layer on chosen tokens are no longer needed."""
    from analysis.pruning_effects.eviction.texts import find_phrase

    question, answer = (
        (sweep_request.continuation, sweep_request.answer)
        if sweep_request.answer
        else ("", sweep_request.continuation)
    )

    def controls(request: RunRequest, left: Any) -> Wanted:
        phrase = left.text_input(
            "Phrase to hide", key="horizon_phrase", placeholder="words of the context, as they stand"
        )
        tokens = [int(t) for t in find_phrase(sweep.context, sweep.context_encoding, phrase or "")]
        if phrase and not tokens:
            st.caption("The context has no such phrase.")

        def compute(model: LanguageModel, job: Job) -> Any:
            from analysis.pruning_effects.eviction.knock_out import knock_out_horizon

            return knock_out_horizon(
                model,
                sweep_request.context,
                question,
                answer,
                tokens,
                on_progress=job.report,
                **tokenization_options(request),
            )

        def draw(frame: Any) -> None:
            call = f"tokens = {tokens}\nhorizon = an.knock_out_horizon(\n    model, {sweep_request.context!r}, {question!r}, {answer!r}, tokens{tokenization_code(trace)}\n)\n"
            _draw_horizon(
                frame, len(tokens), notebook_code(trace, f"{call}an.figures.horizon_chart(horizon)")
            )

        options = (("c", sweep_request.context), ("q", question), ("a", answer), ("tokens", tokens))
        return Wanted(compute if tokens else None, draw, options)

    on_demand(
        "horizon",
        "Knock-out horizon",
        "Hides a phrase of the context from layer l on, for every l: from which layer on is it no longer needed? "
        "Drawn is the log-probability of the answer, or of the whole continuation where there is no answer.",
        "Run knock-out",
        controls,
        widths=[3, 1],
        height=240,
    )


def _draw_horizon(frame: Any, n_tokens: int, code: str) -> None:
    from analysis.pruning_effects.eviction.cost_figures import horizon_chart

    unit = state.unit()
    with altair_card(
        "Without the phrase, from each layer on",
        "Where the curve meets the dashed line, the phrase is no longer needed.",
        lambda: horizon_chart(frame, unit=unit, theme_name=state.theme_name()),
        alt="Log-probability of the answer by layer",
        name="horizon",
        table=lambda: frame,
        code=code,
        spec=f"{n_tokens} tokens hidden",
        more=explained.HORIZON,
    ) as draw:
        draw()
