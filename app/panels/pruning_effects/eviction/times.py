"""Pruning effects: how long a step of decoding takes once keys are really gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app.panels.pruning_effects import help as explained
from app.panels.pruning_effects.eviction.options import share_kept
from app.panels.pruning_effects.eviction.sweep_request import tokenization_code, tokenization_options
from app.widgets.figure_card import notebook_code, table_card
from app.widgets.on_demand import Wanted, on_demand

if TYPE_CHECKING:
    import pandas as pd

    from analysis.models.loading import LanguageModel
    from analysis.results.trace import Trace
    from app.compute.job import Job
    from app.compute.requests import RunRequest
    from app.panels.pruning_effects.eviction.sweep_request import SweepRequest


@st.fragment
def times(trace: Trace, sweep_request: SweepRequest) -> None:
    """Evict for real and time decoding, for one text and for 16 at once."""

    def controls(request: RunRequest, left: Any) -> Wanted:
        share = share_kept(left, "times")

        def compute(model: LanguageModel, job: Job) -> pd.DataFrame:
            from analysis.pruning_effects.eviction.physical_cache import physical_costs

            return physical_costs(
                model,
                sweep_request.context,
                sweep_request.methods(),
                [share],
                on_progress=job.report,
                **tokenization_options(request),
            )

        def draw(frame: pd.DataFrame) -> None:
            imports, methods = sweep_request.methods_code()
            call = f"an.physical_costs(\n    model, {sweep_request.context!r},\n    {methods}, [{share:g}]{tokenization_code(trace)},\n)"
            _draw(frame, notebook_code(trace, f"{imports}{call}"))

        return Wanted(
            compute, draw, (("c", sweep_request.context), ("share", share), *sweep_request.methods_key())
        )

    on_demand(
        "times",
        "Time of decoding",
        "Really removes the keys and values, then times steps of decoding for one text and for 16 at once. On a short "
        "context the weights decide the time, not the cache.",
        "Measure times",
        controls,
        widths=[1.2, 1],
        height=180,
        stretch=False,
    )


def _draw(frame: pd.DataFrame, code: str) -> None:
    with table_card(
        "Seconds of eviction and decoding",
        "Median of a few timed steps on this machine, as it is now; other work on it counts too.",
        name="times",
        table=lambda: frame,
        code=code,
        spec="Greedy decoding, the library's own cache",
        more=explained.TIMES,
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
