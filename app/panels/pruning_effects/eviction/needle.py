"""Pruning effects: a fact hidden in a haystack, and who still finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.compute import requests as runs
from app.panels.pruning_effects import help as readings
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.layout import side_by_side
from app.widgets.run_status import ask, outcome

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.pruning_effects.eviction.needle import NeedleGrid
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.panels.pruning_effects.eviction.asked import Asked

_LENGTHS = (128, 256, 512, 1024, 2048)
_DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_SHARES = (0.1, 0.25, 0.5, 0.75)


@st.fragment
def needle(trace: Trace, request: runs.RunRequest, asked: Asked) -> None:
    """A fact hidden at every depth, asked for after pruning."""
    with st.container(border=True):
        st.markdown("**Needle in a haystack**")
        st.caption(
            "A made-up fact in a generated text. The cache is pruned before the question is asked: was the fact kept?"
        )
        columns = side_by_side("controls_needle", [2, 2, 1.2, 1], "bottom")
        lengths = columns[0].multiselect("Tokens", _LENGTHS, [256, 512], key="needle_lengths")
        depths = columns[1].multiselect(
            "Depths", _DEPTHS, [0.0, 0.5, 1.0], key="needle_depths", format_func=lambda d: f"{d:.0%}"
        )
        share = columns[2].selectbox(
            "Share kept", _SHARES, 1, key="needle_share", format_func=lambda s: f"{s:.0%}"
        )
        ready = bool(lengths and depths)
        imports, methods = asked.methods_code()
        call = f"grid = an.needle_grid(model, {sorted(lengths)}, {sorted(depths)}, {methods}, [{share:g}])\n"
        code = notebook_code(trace, f"{imports}{call}an.figures.needle_chart(grid)")
        experiment = runs.Experiment(
            request,
            "needle",
            (
                ("lengths", sorted(lengths)),
                ("depths", sorted(depths)),
                ("share", share),
                *asked.methods_key(),
            ),
        )
        found = runs.find(experiment)
        if columns[3].button("Hide and ask", key="needle_button", width="stretch", disabled=not ready):

            def compute(model: LanguageModel, job: Job) -> NeedleGrid:
                from analysis.pruning_effects.eviction.needle import needle_grid

                return needle_grid(
                    model,
                    sorted(lengths),
                    sorted(depths),
                    asked.methods(),
                    [share],
                    on_progress=job.report,
                    on_partial=job.show,
                )

            found = ask(experiment, compute)
        if found is None:
            return
        grid = outcome(found, (260,), draw=lambda part: _draw_needle(part, share, code))
    if grid is not None:
        _draw_needle(grid, share, code)


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
        more=readings.NEEDLE,
    ) as draw:
        draw()
        full = grid.frame[grid.frame["policy"] == "full"]
        st.caption(f"With the full cache the model answers **{int(full['answered'].sum())} of {len(full)}**.")
