"""KV-cache eviction: the form, what is compared, and the standard comparison that starts by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.numbers import count, estimate
from analysis.errors import AnalysisError
from app import state
from app.compute import requests as runs
from app.panels.pruning_effects.eviction.form import form
from app.panels.pruning_effects.eviction.sweep_request import SweepRequest, compute, standard
from app.widgets.messages import show_error, show_unavailable
from app.widgets.pressed import pressed
from app.widgets.run_status import found_here, model_run, outcome, try_submit, wanted_job

if TYPE_CHECKING:
    from analysis.results.trace import Trace
    from app.compute.job import Job

AT_ONCE_SECONDS = 30
"""A standard comparison that is expected to take longer waits for the button."""
_LEAST_TOKENS = 8
"""Of a text whose end is read after the rest was pruned."""


@dataclass(frozen=True)
class Comparison:
    """The comparison on screen."""

    shown: SweepRequest | None
    job: Job | None


def comparison(trace: Trace) -> Comparison:
    """Draw the form's popover and its button, and say what is compared; gives the comparison on screen."""
    request = model_run()
    assert request is not None
    with st.container(key="line_eviction", horizontal=True, vertical_alignment="center"):
        with st.popover("Methods and budgets", icon=":material/tune:", key="methods_and_budgets"):
            wanted = form(trace)
        asked = pressed("Compare", type="primary", key="eviction_button")
    if asked and wanted is None:
        show_error(AnalysisError("There is nothing to compare.", "Choose a method and a share kept."))
    elif asked and wanted is not None:
        experiment = wanted.experiment(request)
        if try_submit(runs.submit_experiment, experiment, compute(wanted, request)):
            st.session_state[state.SWEEP] = wanted
    usual = standard(trace)
    shown, job = _on_screen([wanted, st.session_state.get(state.SWEEP), usual], request)
    if shown == usual:
        job = found_here(usual.experiment(request))
    if job is None:
        job = _start_standard(trace, usual, request)
        shown = None if job is None else usual
    _say(trace, wanted, shown, usual, job)
    return Comparison(shown, job)


def _on_screen(
    candidates: list[SweepRequest | None], request: runs.RunRequest
) -> tuple[SweepRequest | None, Job | None]:
    """The comparison that the form asks for if it was made, else the last one of this run, else the standard one."""
    for one in candidates:
        job = runs.find(one.experiment(request)) if one is not None else None
        if job is not None:
            st.session_state[state.SWEEP] = one
            return one, job
    return None, None


def _start_standard(trace: Trace, usual: SweepRequest, request: runs.RunRequest) -> Job | None:
    """Ask for the standard comparison where it is cheap and nothing else waits."""
    run = wanted_job()
    if (
        trace.attention is None
        or len(trace.tokens) < _LEAST_TOKENS
        or usual.seconds(trace) > AT_ONCE_SECONDS
        or (run is not None and run.is_live)
    ):
        return None
    experiment = usual.experiment(request)
    try:
        job = runs.submit_experiment(experiment, compute(usual, request))
    except AnalysisError:
        return None  # the queue is full: the button says so to whoever presses it
    st.session_state.setdefault(state.BACKGROUND, set()).add(experiment.key)
    return job


def _say(
    trace: Trace,
    wanted: SweepRequest | None,
    shown: SweepRequest | None,
    usual: SweepRequest,
    job: Job | None,
) -> None:
    """One line on what is compared, and what is wrong with it."""
    line = ""
    if shown is not None:
        methods, shares = len(shown.policies), len(shown.kept)
        line = f"Shown: {methods} method{'s' * (methods > 1)} at {shares} share{'s' * (shares > 1)}"
        line += ", the standard comparison. " if shown == usual else ", evicted " + shown.evicted + ". "
    if wanted is not None and wanted != shown:
        changed = shown is not None and shown != usual
        line += "The form changed. " if changed else ""
        line += f"Compare: {count(wanted.n_settings())} settings, {estimate(wanted.seconds(trace))}."
    st.caption(line)
    if job is None or job.is_live or job.state == "done":
        return
    if job.state == "cancelled" and job.partial is not None:
        from app.panels.pruning_effects.eviction.curves import so_far

        st.caption(f"Cancelled. Shown is what was finished: {so_far(job.partial)}. Press Compare for all.")
    elif job.error is not None and shown == usual:
        show_unavailable(job.error)  # nobody asked for it
    else:
        outcome(job)
