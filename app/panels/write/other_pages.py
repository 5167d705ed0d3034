"""A branch as the run of other pages: its tokens are read once, then the page that was asked for opens."""

from __future__ import annotations

import streamlit as st

from analysis.errors import AnalysisError
from app import state
from app.compute import requests as runs
from app.compute import writing as jobs
from app.compute.job import Job
from app.panels.write import running


def start_trace(slug: str) -> None:
    """Read the branch on screen for another page, which opens when that is done."""
    writing, branch = running.shown_writing(), running.shown_branch()
    try:
        job = jobs.submit_trace(running.writer(), writing, branch)
    except AnalysisError as refused:
        st.session_state[state.WRITING_SAID] = refused
        return
    st.session_state[state.READ_ON] = (job.key, slug)


def trace_job() -> Job | None:
    """The job that reads a branch for another page."""
    held = st.session_state.get(state.READ_ON)
    job = runs.engine().worker.get(held[0]) if held else None
    return job if job is not None and job.is_live else None


def wanted_trace() -> str | None:
    """Key of the job that reads a branch for another page, until that page was opened."""
    held = st.session_state.get(state.READ_ON)
    return held[0] if held else None


def take_trace() -> str | None:
    """Put what was read on the other pages, as an opened run is; gives the page that asked, None before."""
    held = st.session_state.get(state.READ_ON)
    if held is None or trace_job() is not None:
        return None
    del st.session_state[state.READ_ON]
    job = jobs.take(held[0])
    if job is None or job.result is None:
        if job is not None and job.error is not None:
            st.session_state[state.WRITING_SAID] = job.error
        return None
    st.session_state[state.OPENED] = job.result
    st.session_state.pop(state.TOKEN, None)
    return str(held[1])
