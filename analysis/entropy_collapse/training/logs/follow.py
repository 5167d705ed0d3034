"""A run that still goes: whether its log has been written to, and what has come since it was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.entropy_collapse.training import logs as training_logs
from analysis.entropy_collapse.training.logs.folders import files_below
from analysis.entropy_collapse.training.logs.one_file import PathLike, existing
from analysis.entropy_collapse.training.results import TrainingCurve

Stamp = tuple[tuple[str, int, int], ...]
"""Path, bytes and time of change of every file."""
_BESIDE = ("", "-wal")
"""Endings of files that hold one log: SQLite writes the newest rows beside the database."""


@dataclass(frozen=True, eq=False)
class LogState:
    """The runs of a log at one moment."""

    curves: tuple[TrainingCurve, ...]
    stamp: Stamp
    """The files as they were just before they were read."""


@dataclass(frozen=True)
class News:
    """What one run's log has got since it was last read."""

    run: str
    rows: int
    """New rows, all after the last one that was known; 0 if there are none."""
    first: float | None
    """Step of the first new row."""
    last: float | None
    """Step of the last."""
    rewritten: bool
    """Whether rows changed that were known before: the run was resumed, or the file replaced."""

    @property
    def which(self) -> str:
        """What has come, one sentence."""
        again = " Earlier rows have changed: the run was resumed, or the file replaced." * self.rewritten
        if not self.rows:
            return f"Nothing new.{again}"
        steps = f"step {self.first:g}" if self.rows == 1 else f"steps {self.first:g} to {self.last:g}"
        return f"{self.rows} new row{'s' * (self.rows != 1)}, {steps}.{again}"


def stamp_of(path_or_paths: PathLike | Sequence[PathLike]) -> Stamp:
    """The files of a log as they are now: another stamp means that something was written.

    Parameters
    ----------
    path_or_paths : str, pathlib.Path, or a list of them
        As for :func:`analysis.read_training_logs`.

    Raises
    ------
    AnalysisError
        If nothing is there, or a folder has too many files.
    """
    paths = [path_or_paths] if isinstance(path_or_paths, str | Path) else path_or_paths
    files: list[Path] = []
    for path in map(existing, paths):
        files += files_below(path) if path.is_dir() else [path]
    return tuple(found for file in files for end in _BESIDE if (found := _facts(Path(f"{file}{end}"))))


def _facts(path: Path) -> tuple[str, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return str(path), facts.st_size, facts.st_mtime_ns


def read_log_state(
    path_or_paths: PathLike | Sequence[PathLike], *, growing: bool = True, **options: Any
) -> LogState:
    """Read a log as it is now.

    Parameters
    ----------
    path_or_paths, options
        As for :func:`analysis.read_training_logs`.
    growing : bool
        Whether somebody still writes it. A last line without its end is left out then: it may
        hold half a number.

    Raises
    ------
    AnalysisError
        As there.
    """
    stamp = stamp_of(path_or_paths)
    return LogState(tuple(training_logs.read_training_logs(path_or_paths, growing=growing, **options)), stamp)


def news(before: Sequence[TrainingCurve], after: Sequence[TrainingCurve]) -> list[News]:
    """What every run has got between two states of its log.

    The last row that was known may still change without being called rewritten: not every
    process of its step may have written by then.
    """
    known = {curve.name: curve for curve in before}
    out = []
    for curve in after:
        old = known.get(curve.name)
        fresh = curve.step if old is None else curve.step[curve.step > old.step[-1]]
        first, last = (float(fresh[0]), float(fresh[-1])) if len(fresh) else (None, None)
        out.append(News(curve.name, len(fresh), first, last, old is not None and _rewritten(old, curve)))
    return out


def _rewritten(old: TrainingCurve, new: TrainingCurve) -> bool:
    settled = len(old) - 1
    return not (
        np.array_equal(old.step[:settled], new.step[:settled])
        and np.array_equal(old.entropy[:settled], new.entropy[:settled], equal_nan=True)
    )
