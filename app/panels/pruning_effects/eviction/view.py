"""Pruning effects of the KV cache: ask, wait, and every picture of one sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.compute import requests as runs
from app.panels.pruning_effects.eviction.form import form
from app.panels.pruning_effects.eviction.sweep_request import SweepRequest, compute
from app.widgets.checks import check_line
from app.widgets.messages import unavailable
from app.widgets.plain import plain
from app.widgets.run_status import model_run_or_none, outcome, shown_run, try_submit

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace
    from app.compute.job import Job

_HEIGHTS = (110, 380)


def kv_cache() -> None:
    """Draw the view for the run on screen."""
    trace = shown_run()
    request = model_run_or_none(
        "KV-cache eviction",
        "It reads the text again with parts of the cache gone, and an opened file has no model.",
    )
    if request is None:
        st.caption(plain(trace.spec.subtitle))
        return
    _comparison(trace, request)
    st.caption(plain(trace.spec.subtitle))


@st.fragment
def _comparison(trace: Trace, request: runs.RunRequest) -> None:
    sweep_request, pressed = form(trace)
    if (
        sweep_request is not None
        and pressed
        and try_submit(
            runs.submit_experiment, sweep_request.experiment(request), compute(sweep_request, request)
        )
    ):
        st.session_state[state.SWEEP] = sweep_request
    shown, job = _on_screen(sweep_request, request)
    if shown is None or job is None:
        _nothing_yet()
        return
    from app.panels.pruning_effects.eviction.curves import live, so_far

    if job.is_live:
        outcome(job, _HEIGHTS, draw=live)
        return
    if job.state == "cancelled" and job.partial is not None:
        st.info(
            f"Cancelled. Shown is what was finished: {so_far(job.partial)}. Press Compare methods for all."
        )
    elif job.state != "done":
        outcome(job)
    sweep = job.result or job.partial
    if sweep is not None:
        if sweep_request is not None and sweep_request != shown:
            st.caption(
                "These pictures are of the comparison before the last change. Press Compare methods to update them."
            )
        _pictures(trace, sweep, shown)
        if job.state == "done":
            _costs(trace, request, sweep, shown)


def _on_screen(
    sweep_request: SweepRequest | None, request: runs.RunRequest
) -> tuple[SweepRequest | None, Job | None]:
    """The comparison that the form asks for if it was made, else the last one of this run."""
    for wanted in (sweep_request, st.session_state.get(state.SWEEP)):
        job = runs.find(wanted.experiment(request)) if wanted is not None else None
        if job is not None:
            st.session_state[state.SWEEP] = wanted
            return wanted, job
    return None, None


def _nothing_yet() -> None:
    st.info(
        "Nothing has been pruned yet. Press **Compare methods**: the context is read once, then each method drops "
        "a part of its keys and values, and the continuation is read with what is left. You see what each "
        "method keeps, and what that does to the next predictions. The first curves come after a few seconds."
    )


def _pictures(trace: Trace, sweep: Sweep, sweep_request: SweepRequest) -> None:
    if len(sweep.settings) < 2:
        unavailable("Pictures of the comparison", "No method could be run, for the reasons below.")
        _skipped(sweep)
        return
    from app.panels.pruning_effects.eviction.curves import curves, numbers
    from app.panels.pruning_effects.eviction.details import details

    code = sweep_request.code(trace)
    numbers(sweep)
    curves(trace, sweep, code)
    _skipped(sweep)
    details(trace, sweep, code)
    with st.expander("Checks of this comparison"):
        for check in sweep.checks:
            check_line(check)


def _costs(trace: Trace, request: runs.RunRequest, sweep: Sweep, sweep_request: SweepRequest) -> None:
    from app.panels.pruning_effects.eviction.bill import bill
    from app.panels.pruning_effects.eviction.horizon import horizon
    from app.panels.pruning_effects.eviction.needle import needle
    from app.panels.pruning_effects.eviction.stability import stability
    from app.panels.pruning_effects.eviction.times import times
    from app.panels.pruning_effects.eviction.writing import writing

    writing(trace, sweep_request)
    bill(trace, sweep, request, sweep_request)
    times(trace, sweep_request)
    needle(trace, sweep_request)
    horizon(trace, sweep, sweep_request)
    stability(trace, sweep_request)


def _skipped(sweep: Sweep) -> None:
    if sweep.skipped:
        with st.expander(f"Not run: {len(sweep.skipped)} settings, and why"):
            for name, reason in sweep.skipped.items():
                st.caption(f"**{plain(name)}**: {plain(reason)}")
