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
from app.widgets.run_status import found_here, progress

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Shown:
    """A result, and where it is from."""

    value: Any
    """None while there is nothing to show."""
    job: Job | None = None
    """While it is measured."""
    error: AnalysisError | None = None


def shown_result(lesson: Lesson) -> Shown:
    """The result of what is read now; it is measured where that was not done yet."""
    own = what_is_read(lesson)
    stored = _stored(lesson.slug, lesson) if own == lesson.own else None
    wanted = _request(lesson, own)
    job = found_here(wanted)
    if job is None:
        try:
            job = _submit(lesson, own, wanted)
        except AnalysisError as refused:
            return Shown(stored, error=refused)
        st.session_state.setdefault(state.BACKGROUND, set()).add(wanted.key)
    if job.state == "done":
        return Shown(job.result)
    return Shown(stored, job if job.is_live else None, job.error)


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
def watch(key: str) -> None:
    """How far the measurement is; draws the page again once it ends."""
    job = runs.engine().worker.get(key)
    if job is None or not job.is_live:
        st.rerun()
    progress(job)
