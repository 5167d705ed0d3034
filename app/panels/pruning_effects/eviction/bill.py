"""Pruning effects: bytes and operations of every setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.compute import requests as runs
from app.panels.pruning_effects import help as explained
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.run_status import outcome

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.pruning_effects.eviction.costs import Shape
    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.panels.pruning_effects.eviction.sweep_request import SweepRequest


def sizes(request: runs.RunRequest) -> Any:
    """Ask for the sizes of the model that decide the bill; a small job."""
    experiment = runs.Experiment(request, "sizes")

    def compute(model: LanguageModel, _job: Job) -> tuple[Shape, float]:
        from analysis.pruning_effects.eviction.costs import measured_flops, shape_of

        return shape_of(model), measured_flops(model, 128)

    return runs.submit_experiment(experiment, compute)


@st.fragment
def bill(trace: Trace, sweep: Sweep, request: runs.RunRequest, sweep_request: SweepRequest) -> None:
    """Bytes and operations of every setting."""
    from analysis.drawing.numbers import count, significant, size
    from analysis.pruning_effects.eviction.cost_figures import bill_chart
    from analysis.pruning_effects.eviction.costs import bill as bill_of

    found = outcome(sizes(request), (250,))
    if found is None:
        return
    shape, measured = found
    frame = bill_of(shape, sweep)
    with altair_card(
        "Cost",
        "Memory of keys and values while the next token is generated, alone and for 16 texts at once.",
        lambda: bill_chart(frame, shape.weight_bytes, theme_name=state.theme_name()),
        alt="Bytes of keys and values by share kept",
        name="bill",
        table=lambda: frame,
        code=notebook_code(
            trace,
            f"{sweep_request.code(trace)}shape = an.shape_of(model)\n"
            "an.figures.bill_chart(an.bill(shape, sweep), shape.weight_bytes)",
        ),
        more=explained.BILL,
    ) as draw:
        draw()
        heavy = count(round(shape.tokens_as_heavy_as_weights))
        formula = shape.flops(128, 128)
        check = f"torch counts **{significant(measured / 1e9)}** billion for 128 tokens, the formula **{significant(formula / 1e9)}**"
        st.caption(
            f"One token takes **{size(shape.bytes_per_token)}**; keys and values weigh as much as the weights at **{heavy}** tokens. "
            f"A step of decoding on the full cache takes **{significant(shape.flops(1, sweep.spec.n_context + 1) / 1e9)}** billion operations; {check}."
        )
        spent = ", ".join(f"{name} {significant(seconds)} s" for name, seconds in sweep.seconds.items())
        st.caption(f"This sweep of {len(sweep.settings)} settings: {spent}.")
