"""The run on screen: waiting, running, failed, or done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.drawing.numbers import duration
from analysis.errors import AnalysisError
from app import state
from app.compute import requests as runs
from app.compute.job import Job
from app.widgets.messages import show_error, unavailable
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.results.trace import Trace

_POLL_SECONDS = 0.4


def current_run(request: runs.RunRequest | None = None) -> Trace | None:
    """Result of a request, or None after drawing what stands in its place.

    Parameters
    ----------
    request : RunRequest, optional
        The run on screen by default.
    """
    if request is None and state.OPENED in st.session_state:
        opened: Trace = st.session_state[state.OPENED]
        return opened
    request = request or st.session_state.get(state.RUN)
    if request is None:
        st.info("Nothing has been read yet. Pick an example or write a text above, then press Run.")
        return None
    job = runs.find(request)
    if job is None:  # dropped to make room, or the server restarted
        job = try_submit(runs.submit, request)
    result: Trace | None = None if job is None else outcome(job)
    return result


def model_run() -> runs.RunRequest | None:
    """Request of the run on screen; None for an opened file, which has no model."""
    request: runs.RunRequest | None = st.session_state.get(state.RUN)
    return None if state.OPENED in st.session_state else request


def model_run_or_none(what: str, why: str) -> runs.RunRequest | None:
    """Request of the run on screen, or None after saying what needs a model, and why.

    Parameters
    ----------
    what, why : str
        As for :func:`app.widgets.messages.unavailable`.
    """
    request = model_run()
    if request is None:
        unavailable(what, why)
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
        st.progress(job.fraction, text=_line(job))
        st.button("Cancel", key=f"cancel_{key}", on_click=runs.cancel, args=(key,))
    if draw is not None and job.partial is not None:
        draw(job.partial)
        return
    for height in heights:
        st.skeleton(height=height)


def _line(job: Job) -> str:
    if job.state == "queued":
        ahead = runs.engine().worker.position(job)
        return f"Waiting for {ahead} other run{'s' * (ahead != 1)}" if ahead else "Starting"
    if job.is_stopping:
        return "Stopping"
    left = job.seconds_left()
    until = f" · about {duration(left)} left" if left is not None else ""
    note = job.note or "starting"
    return f"{plain(note[:1].upper() + note[1:])}{until}"
