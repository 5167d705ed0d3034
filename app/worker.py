"""One worker thread computes for all browser sessions: queue, progress, cancel.

A page submits work under a key and polls the :class:`Job` it gets back. The same
key means the same job, in whatever session it is asked for, so nothing is computed
twice; the work stops when the last session that wanted it is gone. Nothing here
imports streamlit or torch, and work never calls streamlit.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import exp
from time import monotonic
from typing import Any, Literal

from analysis.errors import AnalysisError, Cancelled, OutOfMemoryError

State = Literal["queued", "running", "done", "failed", "cancelled"]

_log = logging.getLogger("logitscope")

# The pace is an average over about the last quarter of the work; no time is given before this much is done.
_PACE_SHARE = 0.25
_ENOUGH_FRACTION = 0.02
_ENOUGH_SECONDS = 0.5

_OUT_OF_MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
)
_REPORT_IT = "This is probably a bug: please report it with the traceback from the app's log."


@dataclass(frozen=True, eq=False)
class Job:
    """One piece of work and how far it is.

    Pages read the attributes whenever they like, without a lock; only the worker
    changes them, and it sets `state` last. Times are `time.monotonic` seconds.

    Attributes
    ----------
    key : str
        What is computed; the cache key of the result.
    state : {"queued", "running", "done", "failed", "cancelled"}
        Where the job is.
    fraction : float
        Share of the work done, 0 to 1; never falls.
    note : str
        What is being computed, such as "reading layer 3 of 30".
    result : Any
        What the work returned; None unless `state` is "done".
    error : AnalysisError or None
        Why it failed; set when `state` is "failed".
    created, started, ended : float or None
        When it was submitted, began to run and finished.
    owners : frozenset of str
        The sessions that want it.
    """

    key: str
    state: State = "queued"
    fraction: float = 0.0
    note: str = ""
    result: Any = field(default=None, repr=False)
    error: AnalysisError | None = None
    created: float = field(default_factory=monotonic)
    started: float | None = None
    ended: float | None = None
    owners: frozenset[str] = frozenset()
    _work: Callable[[Job], Any] | None = field(default=None, repr=False)
    _lock: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _stop: bool = field(default=False, repr=False)  # asked to stop
    _stopped: bool = field(default=False, repr=False)  # the work has been told
    _pace: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0), repr=False)  # seconds, share, when
    _left: tuple[float, float] | None = field(default=None, repr=False)  # seconds left, as of when

    @property
    def is_live(self) -> bool:
        """Whether the job is waiting or running."""
        return self.state in ("queued", "running")

    @property
    def is_stopping(self) -> bool:
        """Whether the job still runs, but will stop at its next report."""
        return self._stop and self.is_live

    def elapsed(self) -> float:
        """Give the seconds it has run, or ran; 0 before it starts."""
        if self.started is None:
            return 0.0
        return (monotonic() if self.ended is None else self.ended) - self.started

    def seconds_left(self) -> float | None:
        """Estimate the seconds until the work is done.

        Returns
        -------
        float or None
            At least 0; None while there is nothing to go by. Between reports it counts
            down, and when a report is overdue it slows down instead of promising 0.
        """
        if not self.is_live:
            return 0.0
        estimate = self._left
        if estimate is None:
            return None
        left, when = estimate
        return left * exp(-max(0.0, monotonic() - when) / left) if left > 0 else 0.0

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job ends, for scripts and tests; True when it has ended in time."""
        with self._lock:
            return self._lock.wait_for(lambda: not self.is_live, timeout)

    def report(self, fraction: float, note: str = "") -> None:
        """Say how far the work is; computing code calls this as its `on_progress`.

        Parameters
        ----------
        fraction : float
            Share done, 0 to 1; a smaller one than before is ignored.
        note : str, optional
            What is being computed now; left as it was when empty.

        Raises
        ------
        Cancelled
            When nobody wants the result any more.
        """
        with self._lock:
            if self._stop:
                self._set(_stopped=True)
                raise Cancelled
            if self.state != "running":
                return
            if note:
                self._set(note=note)
            if fraction > self.fraction:
                self._advance(min(1.0, float(fraction)))

    def _begin(self) -> None:
        now = monotonic()
        self._set(started=now, _pace=(0.0, 0.0, now), state="running")

    def _advance(self, fraction: float) -> None:
        now = monotonic()
        step = fraction - self.fraction
        seconds, share, since = self._pace
        fade = exp(-step / _PACE_SHARE)
        seconds, share = seconds * fade + now - since, share * fade + step
        self._set(fraction=fraction, _pace=(seconds, share, now))
        if fraction >= _ENOUGH_FRACTION and self.elapsed() >= _ENOUGH_SECONDS:
            self._set(_left=((1.0 - fraction) * seconds / share, now))

    def _set(self, **changes: Any) -> None:
        """Change attributes in the given order; the caller holds the lock."""
        for name, value in changes.items():
            object.__setattr__(self, name, value)


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
        self._changed = threading.Condition()  # the one lock; its RLock bears a finalizer that calls back
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
            Called in the worker thread with its job, whose `report` it should call often.
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
            job = self._jobs.get(key)
            if job is not None and (job.is_live or job.state == "done") and not job._stopped:
                # A job asked to stop that has not noticed yet goes on, for its new owner.
                job._set(owners=job.owners | {owner}, _stop=False)
                self._jobs.move_to_end(key)
                return job
            self._refuse_if_full(owner)
            job = Job(key, owners=frozenset({owner}), _work=work, _lock=self._changed)
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
        """Drop this owner's wish; the work stops at its next report when no owner is left."""
        with self._changed:
            job = self._jobs.get(key)
            if job is None or owner not in job.owners:
                return
            job._set(owners=job.owners - {owner})
            if not job.owners:
                self._stop(job)

    def drop_owner(self, owner: str) -> None:
        """Forget a closed session: jobs that only it wanted stop, finished results stay."""
        with self._changed:
            for key in list(self._jobs):
                self.cancel(key, owner)

    def forget(self, predicate: Callable[[Job], bool]) -> int:
        """Remove the finished jobs for which the predicate is true, such as an unloaded model's.

        Returns
        -------
        int
            How many were removed.
        """
        with self._changed:
            ended = [job for job in self._jobs.values() if not job.is_live]
        ended = [job for job in ended if predicate(job)]
        with self._changed:
            ended = [job for job in ended if self._jobs.get(job.key) is job]
            for job in ended:
                del self._jobs[job.key]
        return len(ended)

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
            job._set(_stop=True)

    def _end(self, job: Job, state: State, result: Any = None, error: AnalysisError | None = None) -> None:
        fraction = 1.0 if state == "done" else job.fraction
        job._set(result=result, error=error, fraction=fraction, ended=monotonic(), _work=None, state=state)
        if self._jobs.get(job.key) is job:
            self._jobs.move_to_end(job.key)
        # Jobs without a result are bounded on their own, so that failures push no result out.
        for states in (("done",), ("failed", "cancelled")):
            ended = [key for key, other in self._jobs.items() if other.state in states]
            for key in ended[: max(0, len(ended) - self._keep)]:
                del self._jobs[key]
        self._changed.notify_all()

    def _loop(self) -> None:
        while self._step():  # in a frame of its own: while waiting, no local holds the last job
            pass

    def _step(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return False
            self._running = job = self._queue.popleft()
            job._begin()
        try:
            state, result, error = _attempt(job)
        except BaseException as problem:  # noqa: BLE001 - even saying what went wrong went wrong
            _clear(problem)
            state, result = "failed", None
            error = AnalysisError(f"The run failed with {type(problem).__name__}.", _REPORT_IT)
        with self._changed:
            if job._stopped:  # whatever became of it, the work was cut short
                state, result, error = "cancelled", None, None
            self._running = None
            self._end(job, state, result, error)
        return True


def _attempt(job: Job) -> tuple[State, Any, AnalysisError | None]:
    """Do the work of a job; give how it ended, its result and its error."""
    assert job._work is not None
    try:
        return "done", job._work(job), None
    except Cancelled as stop:
        _clear(stop)
        return "cancelled", None, None
    except BaseException as problem:  # noqa: BLE001 - the thread serves every session and must survive
        error = _explain(problem, job)
    if isinstance(error, OutOfMemoryError):  # only here, where the exception is gone, can the memory go
        _free_memory()
    return "failed", None, error


def _explain(problem: BaseException, job: Job) -> AnalysisError:
    """Turn what the work raised into a sentence and a hint, and let go of its frames."""
    if isinstance(problem, AnalysisError):
        _clear(problem)
        return problem
    name, doing = type(problem).__name__, job.note.strip().rstrip(".") or "computing"
    _log.error("%s while %s\n%s", name, doing, "".join(traceback.format_exception(problem)))
    said = _message(problem)
    out_of_memory = _is_out_of_memory(problem, said)
    _clear(problem)
    if out_of_memory:
        return OutOfMemoryError(
            f"The device ran out of memory while {doing}.",
            "Shorten the text, choose a lower precision, or unload the model and try a smaller one.",
        )
    first_line = next(iter(said.strip().splitlines()), "")[:300].rstrip(".")
    return AnalysisError(
        f"The run stopped while {doing}: {name}{': ' if first_line else ''}{first_line}.",
        _REPORT_IT,
    )


def _message(problem: BaseException) -> str:
    try:
        return str(problem)
    except BaseException:  # noqa: BLE001 - a message that raises is still only a message
        _log.exception("the message of a %s cannot be read", type(problem).__name__)
        return ""


def _is_out_of_memory(problem: BaseException, said: str) -> bool:
    torch_error = getattr(sys.modules.get("torch"), "OutOfMemoryError", ())
    if isinstance(problem, (MemoryError, torch_error)):
        return True
    return isinstance(problem, (RuntimeError, OSError)) and any(
        w in said.lower() for w in _OUT_OF_MEMORY_WORDS
    )


def _clear(problem: BaseException) -> None:
    """Empty the frames of an exception and of those behind it, so that no tensor stays pinned."""
    for error in list(_chain(problem)):
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None


def _chain(problem: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    todo: list[BaseException | None] = [problem]
    while todo:
        error = todo.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        todo += [error.__cause__, error.__context__]
        if isinstance(error, BaseExceptionGroup):
            todo += error.exceptions


def _free_memory() -> None:
    gc.collect()
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    try:
        if cuda is not None and cuda.is_initialized():
            cuda.empty_cache()
    except Exception:  # noqa: BLE001 - after a device error even this can fail
        _log.exception("the device's cache could not be emptied")
