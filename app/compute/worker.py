"""One worker thread computes for all browser sessions: queue, progress, cancel.

A page submits work under a key and polls the :class:`~app.compute.job.Job` it gets back. The
same key means the same job, in whatever session it is asked for, so nothing is computed
twice; the work stops when the last session that wanted it is gone. Nothing here
imports streamlit or torch, and work never calls streamlit.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from analysis.errors import AnalysisError, Cancelled, OutOfMemoryError
from app.compute import libraries
from app.compute.failures import explain, free_memory, let_go
from app.compute.job import Job, State, Turn


class Worker:
    """A daemon thread that runs submitted work one at a time, first come first served.

    Parameters
    ----------
    max_queue : int, default 16
        How many jobs may wait.
    keep : int, default 16
        How many finished results are kept, the least recently used going first.
    per_owner : int, default 4
        How many waiting and running jobs one session may have.
    """

    def __init__(self, max_queue: int = 16, keep: int = 16, per_owner: int = 4) -> None:
        self._max_queue, self._keep, self._per_owner = max_queue, keep, per_owner
        # The one lock, shared with every job. It can be taken again by a thread that holds it,
        # because dropping a result may run a finalizer that calls the worker.
        self._changed = threading.Condition()
        self._jobs: OrderedDict[str, Job] = OrderedDict()  # least recently used first
        self._queue: deque[Job] = deque()
        self._running: Job | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="logitscope-worker", daemon=True)
        self._thread.start()

    def submit(self, key: str, work: Callable[[Job], Any], *, owner: str) -> Job:
        """Ask for a result.

        Parameters
        ----------
        key : str
            Names the result; everything that changes it must be part of it.
        work : callable
            Called in the worker thread with its job, whose `report` it should call often. A long one may give a
            :class:`~app.compute.job.Turn` back, so that others come between.
        owner : str
            The session that asks.

        Returns
        -------
        Job
            The job that waits, runs or is done under this key, or else a new one.

        Raises
        ------
        AnalysisError
            When the queue is full, the owner has too many jobs, or the worker is closed.
        """
        with self._changed:
            if self._closed:
                raise AnalysisError("The compute worker has been shut down.", "Restart the app.")
            job = self.get(key)
            if job is not None and (job.is_live or job.state == "done") and not job.stop_noticed:
                job.owners |= {owner}
                job.stop_requested = False  # if it was asked to stop, it goes on for its new owner
                return job
            self._refuse_if_full(owner)
            job = Job(key, work, frozenset({owner}), self._changed)
            self._jobs[key] = job
            self._jobs.move_to_end(key)
            self._queue.append(job)
            self._changed.notify_all()
            return job

    def get(self, key: str) -> Job | None:
        """Give the job under this key, if there is one; counts as a use of its result."""
        with self._changed:
            job = self._jobs.get(key)
            if job is not None:
                self._jobs.move_to_end(key)
            return job

    def position(self, job: Job) -> int:
        """Count the jobs before this one, the running one included; 0 once it runs."""
        with self._changed:
            if job not in self._queue:
                return 0
            return self._queue.index(job) + (self._running is not None)

    def cancel(self, key: str, owner: str) -> None:
        """Drop this owner's request; the work stops at its next report when no owner is left."""
        with self._changed:
            job = self._jobs.get(key)
            if job is None or owner not in job.owners:
                return
            job.owners -= {owner}
            if not job.owners:
                self._stop(job)

    @staticmethod
    def own_keys(owner: str) -> str:
        """How keys begin whose results go with their owner."""
        return f"private/{owner}/"

    def drop_owner(self, owner: str) -> None:
        """Forget a closed session: jobs that only it wanted stop, finished results stay but for those of its own keys."""
        with self._changed:
            for key in list(self._jobs):
                self.cancel(key, owner)
            self.forget(lambda job: job.key.startswith(self.own_keys(owner)))

    def forget(self, predicate: Callable[[Job], bool]) -> int:
        """Remove finished jobs, such as those of an unloaded model.

        Parameters
        ----------
        predicate : callable
            Whether to remove a job; called with the lock held, so it must not wait for anything.

        Returns
        -------
        int
            How many were removed.
        """
        with self._changed:
            keys = [key for key, job in self._jobs.items() if not job.is_live and predicate(job)]
            for key in keys:
                self._jobs.pop(key, None)
            return len(keys)

    def close(self, timeout: float = 2.0) -> None:
        """Cancel everything and end the thread, waiting at most `timeout` seconds for it."""
        with self._changed:
            self._closed = True
            for job in [*self._queue, *([self._running] if self._running else [])]:
                self._stop(job)
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _refuse_if_full(self, owner: str) -> None:
        if len(self._queue) >= self._max_queue:
            raise AnalysisError(
                f"The queue is full: {len(self._queue)} runs are waiting.",
                "Try again when one of them has ended.",
            )
        mine = sum(job.is_live and owner in job.owners for job in self._jobs.values())
        if mine >= self._per_owner:
            raise AnalysisError(
                f"You already have {mine} runs waiting or running.",
                "Cancel one of them, or wait for it to end.",
            )

    def _stop(self, job: Job) -> None:
        if job.state == "queued":
            self._queue.remove(job)
            self._end(job, "cancelled")
        elif job.state == "running":
            job.stop_requested = True

    def _end(self, job: Job, state: State, result: Any = None, error: AnalysisError | None = None) -> None:
        job.end(state, result, error)
        if self._jobs.get(job.key) is job:
            self._jobs.move_to_end(job.key)
        # Jobs without a result are counted on their own, so that failures push no result out.
        for states in (("done",), ("failed", "cancelled")):
            ended = [key for key, other in self._jobs.items() if other.state in states]
            for key in ended[: max(0, len(ended) - self._keep)]:
                self._jobs.pop(key, None)

    def _loop(self) -> None:
        while self._step():  # in a frame of its own: while waiting, no local holds the last job
            pass

    def _step(self) -> bool:
        """Wait for a job and run it; False when the worker is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return False
            self._running = job = self._queue.popleft()
            job.begin()
        state, result, error = _attempt(job)
        with self._changed:
            self._running = None
            goes_on = isinstance(result, Turn)
            if job.stop_noticed or (goes_on and job.stop_requested):  # the work was cut short
                state, result, error = "cancelled", None, None
            elif goes_on:
                job.wait_again(result)
                self._queue.append(job)
                return True
            self._end(job, state, result, error)
        return True


def _attempt(job: Job) -> tuple[State, Any, AnalysisError | None]:
    """Do the work of a job; give how it ended, its result and its error."""
    assert job.work is not None
    try:
        libraries.wait(job.report)
        return "done", job.work(job), None
    except Cancelled as stop:
        let_go(stop)
        return "cancelled", None, None
    except BaseException as problem:  # noqa: BLE001 - the thread serves every session and must survive
        error = explain(problem, job.note)
    if isinstance(error, OutOfMemoryError):  # only here, where the exception is gone, can the memory go
        free_memory()
    return "failed", None, error
