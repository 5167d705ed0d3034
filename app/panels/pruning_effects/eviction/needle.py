"""Pruning effects: a fact hidden in a haystack, and who still finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.panels.pruning_effects import help as explained
from app.panels.pruning_effects.eviction.options import share_kept
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.on_demand import Wanted, on_demand

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.pruning_effects.eviction.needle import NeedleGrid
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.compute.requests import RunRequest
    from app.panels.pruning_effects.eviction.sweep_request import SweepRequest

_LENGTHS = (128, 256, 512, 1024, 2048)
_DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@st.fragment
def needle(trace: Trace, sweep_request: SweepRequest) -> None:
    """A fact hidden at every depth, asked for after pruning."""

    def controls(_request: RunRequest, *columns: Any) -> Wanted:
        lengths = columns[0].multiselect("Tokens", _LENGTHS, [256, 512], key="needle_lengths")
        depths = columns[1].multiselect(
            "Depths", _DEPTHS, [0.0, 0.5, 1.0], key="needle_depths", format_func=lambda d: f"{d:.0%}"
        )
        share = share_kept(columns[2], "needle")
        lengths, depths = sorted(lengths), sorted(depths)
        imports, methods = sweep_request.methods_code()
        call = f"grid = an.needle_grid(model, {lengths}, {depths}, {methods}, [{share:g}])\n"
        code = notebook_code(trace, f"{imports}{call}an.figures.needle_chart(grid)")

        def compute(model: LanguageModel, job: Job) -> NeedleGrid:
            from analysis.pruning_effects.eviction.needle import needle_grid

            return needle_grid(
                model,
                lengths,
                depths,
                sweep_request.methods(),
                [share],
                on_progress=job.report,
                on_partial=job.show,
            )

        def draw(grid: NeedleGrid) -> None:
            _draw_needle(grid, share, code)

        options = (("lengths", lengths), ("depths", depths), ("share", share), *sweep_request.methods_key())
        return Wanted(compute if lengths and depths else None, draw, options, draw)

    on_demand(
        "needle",
        "Needle test",
        "A made-up fact in a generated text. The cache is pruned before the question is asked: was the fact kept?",
        "Run needle test",
        controls,
        widths=[2, 2, 1.2, 1],
        height=260,
    )


def _draw_needle(grid: NeedleGrid, share: float, code: str) -> None:
    from analysis.pruning_effects.eviction.cost_figures import needle_chart

    unit = state.unit()
    with altair_card(
        "Was the needle found?",
        "Stronger: the answer was more likely. A ring: greedy decoding would have said it.",
        lambda: needle_chart(grid, unit=unit, theme_name=state.theme_name()),
        alt="Retrieval by length and depth, one panel per method",
        name="needle",
        table=lambda: grid.frame,
        code=code,
        spec=f"{grid.model} · {share:.0%} of the context kept",
        more=explained.NEEDLE,
    ) as draw:
        draw()
        answered, asked = grid.answered_in_full
        st.caption(f"With the full cache the model answers **{answered} of {asked}**.")
