"""The run on screen: waiting, running, failed, or done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.drawing.numbers import estimate
from analysis.errors import AnalysisError
from app import state
from app.compute import requests as runs
from app.compute.job import Job
from app.widgets.messages import show_error, unavailable
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace

_POLL_SECONDS = 0.4
EXAMPLE_RUN = Path(__file__).resolve().parents[1] / "example.trace"


def shown_run() -> Trace:
    """The run whose pictures are on screen: an opened file, the last finished run, or the stored example."""
    return finished_run() or example_run()


def finished_run() -> Trace | None:
    """An opened file or the last finished run; None where the stored example stands in their place."""
    if is_file_opened():
        opened: Trace = st.session_state[state.OPENED]
        return opened
    job = _finished_job()
    return None if job is None else job.result


def is_file_opened() -> bool:
    """Whether the run on screen comes from a file."""
    return state.OPENED in st.session_state


def wanted_job() -> Job | None:
    """Job of the run that was asked for last; None before the first and for an opened file."""
    request = None if is_file_opened() else st.session_state.get(state.RUN)
    return None if request is None else runs.find(request)


def _finished_job() -> Job | None:
    """The finished run on screen, the last one as long as a newer one is not done; None before the first."""
    for request in (st.session_state.get(state.RUN), st.session_state.get(state.SHOWN)):
        job = runs.find(request) if request is not None else None
        if job is not None and job.state == "done":
            st.session_state[state.SHOWN] = request
            return job
    return None


def found_here(wanted: runs.RunRequest | runs.Experiment) -> Job | None:
    """The job of something that starts by itself; None where it ended with another tab, so that it starts again."""
    job = runs.find(wanted)
    here = wanted.key in st.session_state.get(state.BACKGROUND, ())
    return None if job is not None and job.state == "cancelled" and not here else job


def run_again_if_dropped() -> None:
    """Ask once more for a run whose result made room for others, or that a restart of the server took."""
    request = st.session_state.get(state.RUN)
    if request is not None and runs.find(request) is None:
        try_submit(runs.submit, request)


def other_run(request: runs.RunRequest) -> Trace | None:
    """Result of another run than the one on screen, or None after drawing what stands in its place."""
    job = runs.find(request)
    if job is None:  # dropped to make room, or the server restarted
        job = try_submit(runs.submit, request)
    result: Trace | None = None if job is None else outcome(job)
    return result


@st.cache_resource(show_spinner=False, max_entries=1)
def example_run() -> Trace:
    """A run of the first example on the embedded model, stored with the app."""
    from analysis.results.trace_file import load_trace

    return load_trace(EXAMPLE_RUN)


def model_run() -> runs.RunRequest | None:
    """Request of the run on screen; None for an opened file and for the stored example, which have no model."""
    if is_file_opened() or _finished_job() is None:
        return None
    request: runs.RunRequest = st.session_state[state.SHOWN]
    return request


def show_sweep(sweep: Sweep) -> None:
    """Put a sweep from a file on screen, for as long as the run is on screen that is there now."""
    st.session_state[state.OPENED_SWEEP] = (sweep, *_run_beside())


def opened_sweep() -> Sweep | None:
    """The sweep from a file, while the run that came with it is on screen."""
    sweep, *beside = st.session_state.get(state.OPENED_SWEEP, (None, None, None))
    same = all(a is b for a, b in zip(beside, _run_beside(), strict=True))
    found: Sweep | None = sweep if same else None
    return found


def finished_sweep() -> Sweep | None:
    """The sweep from a file or the last one of the run on screen; of a cancelled one what was finished."""
    asked, request = st.session_state.get(state.SWEEP), model_run()
    if opened_sweep() is not None or asked is None or request is None:
        return opened_sweep()
    job = runs.find(asked.experiment(request))
    found: Sweep | None = None if job is None or job.is_live else job.result or job.partial
    return found


def _run_beside() -> tuple[object, object]:
    """What says which run is on screen."""
    return st.session_state.get(state.OPENED), st.session_state.get(state.SHOWN)


def model_run_or_none(what: str, why: str) -> runs.RunRequest | None:
    """Request of the run on screen, or None after saying what needs a model, and why.

    Parameters
    ----------
    what, why : str
        As for :func:`app.widgets.messages.unavailable`.
    """
    request = model_run()
    if request is None:
        unavailable(what, "It comes with the first run." if finished_run() is None else why)
    return request


def try_submit(submit: Callable[..., Job], *arguments: Any) -> Job | None:
    """Submit a run, an experiment or a calculation; None after saying why it is refused."""
    try:
        return submit(*arguments)
    except AnalysisError as refused:
        show_error(refused)
        return None


def outcome(job: Job, heights: tuple[int, ...] = (96, 320), draw: Callable[[Any], None] | None = None) -> Any:
    """Result of a job, or None after drawing what stands in its place.

    Parameters
    ----------
    job : Job
        A run, an experiment or a calculation.
    heights : tuple of int
        Places held while it is computed, in pixels.
    draw : callable, optional
        Draws what the job has shown so far, in place of the held places.
    """
    if job.is_live:
        _watch(job.key, heights, draw)
        return None
    if job.state == "done":
        return job.result
    if job.error is not None:
        show_error(job.error)
    else:
        st.info("The run was cancelled. Press Run to start it again.")
    return None


@st.fragment(run_every=_POLL_SECONDS)
def _watch(key: str, heights: tuple[int, ...], draw: Callable[[Any], None] | None) -> None:
    """Progress, time left and cancel; redraws the page once when the run ends."""
    job = runs.engine().worker.get(key)
    if job is None or not job.is_live:
        st.rerun()
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        progress(job)
    if draw is not None and job.partial is not None:
        draw(job.partial)
        return
    for height in heights:
        st.skeleton(height=height)


@st.fragment(run_every=_POLL_SECONDS)
def watch_run(key: str, button: str = "Cancel") -> None:
    """Progress, time left and a button that ends it in the run bar; redraws the page once when the run ends."""
    job = runs.engine().worker.get(key)
    if job is None or not job.is_live:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", key="run_progress"):
        progress(job, button)


def progress(job: Job, button: str = "Cancel") -> None:
    """How far a job is, and a button that ends it."""
    st.progress(job.fraction, text=_line(job))
    st.button(button, key=f"cancel_{job.key}", on_click=runs.cancel, args=(job.key,))


def _line(job: Job) -> str:
    if job.state == "queued":
        ahead = runs.engine().worker.position(job)
        return f"Waiting for {ahead} other run{'s' * (ahead != 1)}" if ahead else "Starting"
    if job.is_stopping:
        return "Stopping"
    left = job.seconds_left()
    until = f" · {estimate(left)} left" if left is not None else ""
    note = job.note or "starting"
    return f"{plain(note[:1].upper() + note[1:])}{until}"
