"""Writing through the worker: in slices, so that other tabs come between; shown as it comes, kept when it is stopped."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

import streamlit as st

from analysis.errors import AnalysisError
from app.compute import requests as runs
from app.compute.job import Job, Turn

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.models.spec import ModelSpec
    from analysis.results.trace import Trace
    from analysis.token_entropy.samplers import Kept
    from analysis.writing.caches import CacheMemory
    from analysis.writing.results import Writing

SLICE, FEWEST = 16, 4
"""Tokens that are written before others that wait come, all branches together, and at least of each."""
_SHOW_SECONDS = 0.15
"""A page looks five times a second."""

OnToken = Callable[[Callable[[], "Writing"], int], None]
"""Called after every token with what makes the writing so far, and how many tokens are new."""
Begin = Callable[["LanguageModel", int, OnToken], "Writing"]
"""Writes at most so many tokens."""


@dataclass(frozen=True)
class Written:
    """What a writing job has so far."""

    writing: Writing
    branch: int
    """The branch that grows."""
    n_new: int
    """Tokens written by this job; those that a person chose do not count."""
    rate: float
    """Tokens per second of the last slice; NaN before its second token."""
    growing: tuple[int, ...] = ()
    """Branches that go on at the next turn."""
    memory: CacheMemory | None = None
    """What the caches of all branches take."""

    def stopped(self) -> Writing:
        """What there is if there is no next turn."""
        from analysis.writing.editing import ended_as

        return ended_as(self.writing, self.growing, "stopped")


def submit_writing(spec: ModelSpec, begin: Begin, n_new: int, *, of: int | None = None, ways: int = 1) -> Job:
    """Ask for text, and at its end for a check of its numbers against reading it again.

    Parameters
    ----------
    spec : ModelSpec
        The model that writes.
    begin : callable
        Writes the first slice; the others go on with its branches.
    n_new : int
        Tokens of each branch, at most.
    of : int, optional
        The branch that grows; new ones by default.
    ways : int
        How many new ones.

    Returns
    -------
    Job
        Its own for every call: it is taken by the session that asked, see :func:`take`. Its result and what it shows
        is a :class:`Written`.

    Raises
    ------
    AnalysisError
        When the queue is full.
    """
    model_slot = runs.engine().model_slot

    def turn(before: Written | None) -> Callable[[Job], object]:
        def work(job: Job) -> Turn | Written:
            from analysis.writing.caches import cache_memory

            model = model_slot.get(spec, job.report)
            done = 0 if before is None else before.n_new
            n = min(max(FEWEST, SLICE // ways), n_new - done)
            watch = OneSlice(job, before, n_new)
            if before is None:
                writing = begin(model, n, watch)
                n_all = len(writing.branches)
                grown = (of,) if of is not None else tuple(range(n_all - ways, n_all))
                branch, chosen = grown[-1], 0 if of is not None else writing.branches[grown[0]].forced
            else:
                from analysis.writing.write import go_on

                grown, branch, chosen = before.growing, before.branch, 0
                writing = go_on(model, before.writing, of=grown, n_new=n, on_token=watch)
            now = Written(writing, branch, done + max(0, watch.n - chosen), watch.rate)
            if now.n_new < n_new and watch.n > 0:
                now = replace(
                    now, growing=tuple(one for one in grown if writing.branches[one].ended == "limit")
                )
            now = replace(now, memory=cache_memory(model))
            job.show(now)
            return Turn(turn(now) if now.growing else check(now))

        return work

    def check(written: Written) -> Callable[[Job], object]:
        def work(job: Job) -> Written:
            from analysis.writing.check import check_written

            job.report(1.0, "reading it again")
            checked = check_written(model_slot.get(spec, job.report), written.writing, written.branch)
            return replace(written, writing=checked)

        return work

    return runs.engine().worker.submit(f"write/{uuid.uuid4().hex}", turn(None), owner=runs.owner())


def submit_trace(spec: ModelSpec, writing: Writing, branch: int) -> Job:
    """Ask for the run of a branch, as the other pages draw it; an own job, as for :func:`submit_writing`."""
    model_slot = runs.engine().model_slot

    def work(job: Job) -> Trace:
        from analysis.writing.write import trace_written

        return trace_written(model_slot.get(spec, job.report), writing, branch, on_progress=job.report)

    return runs.engine().worker.submit(f"read/{uuid.uuid4().hex}", work, owner=runs.owner())


def kept_alone(spec: ModelSpec, writing: Writing, branch: int, position: int) -> list[Kept]:
    """What each sampler would keep alone at a written token.

    Raises
    ------
    AnalysisError
        If the device is busy, or the model that wrote it is not the one loaded.
    """
    path = hashlib.sha256(writing.path(branch)[: position + 1].tobytes()).hexdigest()
    return _kept_alone(f"{spec!r}/{path}", spec, writing, branch, position)


@st.cache_data(max_entries=runs.MAX_SMALL_RESULTS, show_spinner=False)
def _kept_alone(key: str, _spec: ModelSpec, _writing: Writing, _branch: int, _position: int) -> list[Kept]:
    model_slot = runs.engine().model_slot

    def work(job: Job) -> list[Kept]:
        from analysis.writing.kept import kept_at

        if model_slot.spec != _spec:
            raise AnalysisError("Not available: the model is not loaded.", "It is when something is written.")
        return kept_at(model_slot.get(_spec, job.report), _writing, _branch, _position)

    return runs.answer(f"kept/{key}", work)  # type: ignore[return-value]


class OneSlice:
    """Tells a job of every token, and now and then shows what there is; the job's exception stops the writing.

    ``n`` tokens of this slice are written, ``n_written`` of the job, ``rate`` of them per second.
    """

    def __init__(self, job: Job, before: Written | None, n_new: int) -> None:
        self.n, self.rate = 0, float("nan") if before is None else before.rate
        self._job, self._n_new = job, n_new
        self._done = 0 if before is None else before.n_new
        self.n_written = self._done
        self._branch = None if before is None else before.branch
        self._first = self._shown = monotonic()

    def __call__(self, so_far: Callable[[], Writing], n: int) -> None:
        """Take one token more, as :data:`OnToken`."""
        now = monotonic()
        if self.n == 0:
            self._first = now
        elif now > self._first:
            self.rate = (n - 1) / (now - self._first)
        self.n, self.n_written = n, self._done + n
        if (n == 1 and self._done == 0) or now - self._shown >= _SHOW_SECONDS:
            writing = so_far()
            branch = writing.newest if self._branch is None else self._branch
            self._job.show(Written(writing, branch, self.n_written, self.rate))
            self._shown = now
        pace = f", {self.rate:.1f} per second" if self.rate == self.rate else ""
        at = min(self.n_written, self._n_new)
        self._job.report(at / self._n_new, f"token {at} of {self._n_new}{pace}")


def take(key: str) -> Job | None:
    """The job of a key once it has ended, which is then forgotten; None before, and where it is not there any more."""
    worker = runs.engine().worker
    job = worker.get(key)
    if job is None or job.is_live:
        return None
    worker.forget(lambda other: other.key == key)
    return job
