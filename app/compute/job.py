"""A piece of work as a page sees it: how far it is, how long it will take, how it ended.

Nothing here imports streamlit or torch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp
from time import monotonic
from typing import Any, Literal

from analysis.errors import AnalysisError, Cancelled

State = Literal["queued", "running", "done", "failed", "cancelled"]

_MEMORY = 0.25
"""The pace is an average over about this last share of the work."""
_ENOUGH_SHARE, _ENOUGH_SECONDS = 0.02, 0.5
"""No time left is given before this much has been done."""


@dataclass(frozen=True)
class Turn:
    """What a work gives back that is not done: others that wait come first, then this goes on as the same job."""

    work: Callable[[Job], Any]


@dataclass(eq=False)
class Job:
    """One piece of work under a key.

    Pages only read a job, whenever they like and without a lock; its worker changes it,
    and sets ``state`` last. Times are :func:`time.monotonic` seconds.
    """

    key: str
    """What is computed: the cache key of the result."""
    work: Callable[[Job], Any] | None = field(default=None, repr=False)
    """What the worker calls; dropped at the end."""
    owners: frozenset[str] = frozenset()
    """The sessions that want it."""
    changed: threading.Condition = field(default_factory=threading.Condition, repr=False)
    """Lock of the worker, told of every end."""
    state: State = "queued"
    fraction: float = 0.0
    """Share of the work done, 0 to 1; never falls."""
    note: str = ""
    """What is being computed, such as "reading layer 3 of 30"."""
    result: Any = field(default=None, repr=False)
    """What the work returned, once the state is "done"."""
    partial: Any = field(default=None, repr=False)
    """What the work has shown so far; a page may draw it while the job runs. Never changed in place.

    Dropped once the state is "done"; a job that failed or was cancelled keeps its finished part.
    """
    error: AnalysisError | None = None
    """Why it failed, once the state is "failed"."""
    started: float | None = None
    ended: float | None = None
    stop_requested: bool = field(default=False, repr=False)
    stop_noticed: bool = field(default=False, repr=False)
    """Whether the work has been told to stop: from then on it cannot go on."""
    _pace: _Pace | None = field(default=None, repr=False)

    @property
    def is_live(self) -> bool:
        """Whether the job is waiting or running."""
        return self.state in ("queued", "running")

    @property
    def is_stopping(self) -> bool:
        """Whether the job still runs, but will stop at its next report."""
        return self.stop_requested and self.is_live

    def elapsed(self) -> float:
        """Give the seconds it has run, or ran; 0 before it starts."""
        if self.started is None:
            return 0.0
        return (monotonic() if self.ended is None else self.ended) - self.started

    def seconds_left(self) -> float | None:
        """Estimate the seconds until the work is done; None while there is nothing to go by.

        Between reports it counts down, and when a report is overdue it slows down
        instead of promising 0.
        """
        if not self.is_live:
            return 0.0
        with self.changed:
            pace = self._pace
            if pace is None or self.fraction < _ENOUGH_SHARE or monotonic() - pace.began < _ENOUGH_SECONDS:
                return None
            return pace.seconds_left(1.0 - self.fraction)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job ends, for scripts and tests; True when it has ended in time."""
        with self.changed:
            return self.changed.wait_for(lambda: not self.is_live, timeout)

    def report(self, fraction: float, note: str = "") -> None:
        """Say how far the work is; computing code calls this as its ``on_progress``.

        Parameters
        ----------
        fraction : float
            Share done, 0 to 1; a smaller one than before is ignored. What comes before a report of 0, such as
            loading a model, says nothing about how long the rest takes.
        note : str, optional
            What is being computed now; left as it was when empty.

        Raises
        ------
        Cancelled
            When nobody wants the result any more.
        """
        with self.changed:
            if self.stop_requested:
                self.stop_noticed = True
                raise Cancelled
            if self._pace is None or not self.is_live:
                return
            self.note = note or self.note
            if fraction == self.fraction == 0.0:
                self._pace = _Pace(monotonic())
            if fraction > self.fraction:
                fraction = min(1.0, float(fraction))
                self._pace.learn(fraction - self.fraction)
                self.fraction = fraction

    def show(self, partial: Any) -> None:
        """Let pages draw what there is so far; called by the work with a value it will not change."""
        self.partial = partial

    def begin(self) -> None:
        """Start the clock, at the first turn; called by the worker."""
        with self.changed:
            if self.started is None:
                self.started = monotonic()
                self._pace = _Pace(self.started)
            self.state = "running"

    def wait_again(self, turn: Turn) -> None:
        """Take what is to be done at the next turn; called by the worker."""
        with self.changed:
            self.work, self.state = turn.work, "queued"

    def end(self, state: State, result: Any = None, error: AnalysisError | None = None) -> None:
        """Take the outcome; called by the worker."""
        with self.changed:
            self.result, self.error, self.work = result, error, None
            self.partial = None if state == "done" else self.partial
            self.fraction = 1.0 if state == "done" else self.fraction
            self.ended = monotonic()
            self.state = state
            self.changed.notify_all()


@dataclass
class _Pace:
    """Recent speed of a piece of work."""

    began: float
    """When the work itself began."""
    when: float = field(init=False)
    """The last report."""
    seconds: float = 0.0
    """Recent seconds, and the share of the work done in them; old ones fade."""
    share: float = 0.0

    def __post_init__(self) -> None:
        self.when = self.began

    def learn(self, step: float) -> None:
        now, fade = monotonic(), exp(-step / _MEMORY)
        self.seconds = self.seconds * fade + now - self.when
        self.share = self.share * fade + step
        self.when = now

    def seconds_left(self, share_left: float) -> float:
        left = share_left * self.seconds / self.share
        return left * exp(-(monotonic() - self.when) / left) if left > 0 else 0.0
