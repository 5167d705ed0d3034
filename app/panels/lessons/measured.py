"""What a lesson shows: the stored result of its own text at once, and the one measured here as soon as it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from analysis.errors import AnalysisError
from analysis.lessons.lesson import Lesson
from analysis.models.spec import ModelSpec
from app import state
from app.compute import requests as runs
from app.compute.job import Job
from app.panels.lessons.address import what_is_read
from app.widgets.run_status import found_here, progress, try_submit

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Shown:
    """A result, and where it is from."""

    value: Any
    """None while there is nothing to show."""
    job: Job | None = None
    """While it is measured."""
    error: AnalysisError | None = None
    is_live: bool = False
    """Whether it was measured by this server."""


def shown_result(lesson: Lesson) -> Shown:
    """The result of what is read now, as far as it is there."""
    own = what_is_read(lesson)
    stored = _stored(lesson.slug, lesson) if own == lesson.own else None
    job = found_here(_request(lesson, own))
    if job is None:
        return Shown(stored)
    if job.state == "done":
        return Shown(job.result, is_live=True)
    return Shown(stored, job if job.is_live else None, job.error)


def measure_where_missing(lesson: Lesson) -> None:
    """Measure what is read now, where that was not done yet; called last, so that the first picture waits for nothing."""
    own = what_is_read(lesson)
    wanted = _request(lesson, own)
    if found_here(wanted) is not None:
        return
    if try_submit(lambda: _submit(lesson, own, wanted)) is not None:
        st.session_state.setdefault(state.BACKGROUND, set()).add(wanted.key)
        st.rerun()


def _request(lesson: Lesson, own: str) -> Any:
    options: tuple[tuple[str, object], ...] = (("own", own),)
    if lesson.needs == "seed":
        return runs.Calculation(f"lesson/{lesson.slug}", options)
    return runs.Experiment(runs.OfModel(ModelSpec()), f"lesson/{lesson.slug}", options)


def _submit(lesson: Lesson, own: str, wanted: Any) -> Job:
    if lesson.needs == "seed":
        return runs.submit_calculation(wanted, lambda job: lesson.measure(None, own, job.report))
    return runs.submit_experiment(wanted, lambda model, job: lesson.measure(model, own, job.report))


@st.cache_resource(show_spinner=False, max_entries=8)
def _stored(slug: str, _lesson: Lesson) -> Any:  # what it is kept under
    del slug
    return _lesson.stored()


@st.fragment(run_every=_POLL_SECONDS)
def watch(key: str, before: str = "") -> None:
    """How far the measurement is; draws the page again once it ends.

    Parameters
    ----------
    key : str
        Of the job.
    before : str
        What is on screen meanwhile; a line of progress where that is nothing.
    """
    job = runs.engine().worker.get(key)
    if job is None or not job.is_live:
        st.rerun()
    if before:
        st.caption(f"{before} · measuring, {round(100 * job.fraction)} %")
    else:
        progress(job)
