"""Pruning effects: how long a step of decoding takes once keys are really gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app.compute import requests as runs
from app.panels.pruning_effects import help as readings
from app.panels.pruning_effects.eviction.asked import reading, reading_code
from app.widgets.figure_card import figure_card, notebook_code
from app.widgets.layout import side_by_side
from app.widgets.run_status import ask, outcome

if TYPE_CHECKING:
    import pandas as pd

    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.panels.pruning_effects.eviction.asked import Asked

_SHARES = (0.1, 0.25, 0.5, 0.75)


@st.fragment
def times(trace: Trace, request: runs.RunRequest, asked: Asked) -> None:
    """Evict for real and time decoding, for one text and for 16 at once."""
    with st.container(border=True):
        st.markdown("**Time of decoding**")
        st.caption(
            "Really removes the keys and values, then times steps of decoding for one text and for 16 at once. On a short "
            "context the weights decide, not the cache."
        )
        left, right = side_by_side("controls_times", [1.2, 1], "bottom")
        share = left.selectbox("Share kept", _SHARES, 1, key="times_share", format_func=lambda s: f"{s:.0%}")
        options = (("c", asked.context), ("share", share), *asked.methods_key())
        experiment = runs.Experiment(request, "times", options)
        found = runs.find(experiment)
        if right.button("Evict and time", key="times_button"):

            def compute(model: LanguageModel, job: Job) -> Any:
                from analysis.pruning_effects.eviction.physical_cache import physical_costs

                return physical_costs(
                    model,
                    asked.context,
                    asked.methods(),
                    [share],
                    on_progress=job.report,
                    **reading(request),
                )

            found = ask(experiment, compute)
        if found is None:
            return
        imports, methods = asked.methods_code()
        call = f"an.physical_costs(\n    model, {asked.context!r},\n    {methods}, [{share:g}]{reading_code(trace)},\n)"
        frame = outcome(found, (180,))
    if frame is not None:
        _draw(frame, notebook_code(trace, f"{imports}{call}"), trace.spec.subtitle)


def _draw(frame: pd.DataFrame, code: str, spec: str) -> None:
    with figure_card(
        "Seconds of eviction and decoding",
        "Median of a few timed steps on this machine, as it is now; other work on it counts too.",
        name="times",
        table=lambda: frame,
        figure=lambda: frame.to_html(index=False, escape=True).encode(),
        figure_ending="html",
        code=code,
        spec=f"{spec} · greedy decoding, library's own cache",
        more=readings.TIMES,
    ):
        st.dataframe(
            frame,
            hide_index=True,
            key="times_frame_shown",
            column_config={
                name: st.column_config.NumberColumn(format="%.4f")
                for name in frame.columns
                if name.endswith("seconds")
            },
        )
