"""Logs of several files put together: by the run's name where they say it, else as parts of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.entropy_collapse.training.logs import choosing
from analysis.entropy_collapse.training.logs.raw import RawLog, Series, Wanted
from analysis.errors import AnalysisError


def by_run(files: Sequence[Sequence[RawLog]], wanted: Wanted) -> list[RawLog]:
    """One log a run, from everything that several files hold.

    Parameters
    ----------
    files : sequence of sequence of RawLog
        What each file holds. Logs that say their run's name are joined with those of the same
        name; logs that say none are parts of one run, in this order.
    wanted : Wanted
        What is asked for.

    Raises
    ------
    AnalysisError
        If a log that names no run stands beside several named ones: nothing tells whose it is.
    """
    logs = [log for found in files for log in found]
    named: dict[str, list[RawLog]] = {}
    for log in logs:
        if log.run:
            named.setdefault(log.run, []).append(log)
    nameless = [log for log in logs if not log.run]
    if not named:
        return [joined(nameless, wanted)] if nameless else []
    if len(named) == 1:
        return [_called(next(iter(named)), joined(logs, wanted))]
    if nameless:
        raise AnalysisError(
            f"{nameless[0].name} names no run, and the other files hold {len(named)}: {', '.join([*named][:5])}.",
            "Read it by itself, or export it with the run's name.",
        )
    return [_called(run, joined(parts, wanted)) for run, parts in named.items()]


def _called(run: str, log: RawLog) -> RawLog:
    return replace(log, name=run, run=run)


def joined(logs: Sequence[RawLog], wanted: Wanted) -> RawLog:
    """Logs of one run as one log.

    Their order in time is kept where every log has the time of day, or where they are a run
    and its continuations: all with the entropy. Files with a column each tell no order.
    """
    if len(logs) == 1:
        return logs[0]
    keys = tuple(dict.fromkeys(key for log in logs for key in log.keys))
    clocked = all(log.clocked for log in logs)
    continued = all(wanted.entropy_key(log.series) is not None for log in logs)
    first_row = np.cumsum([0, *(_rows(log) for log in logs)])
    series: dict[str, Series] = {}
    for key in dict.fromkeys(key for log in logs for key in log.series):
        parts = [
            (log.series[key], int(at)) for log, at in zip(logs, first_row, strict=False) if key in log.series
        ]
        orders = [
            None if own.order is None or not (clocked or continued) else own.order + (0 if clocked else at)
            for own, at in parts
        ]
        series[key] = Series(
            np.concatenate([own.step for own, _ in parts]),
            np.concatenate([own.value for own, _ in parts]),
            None if any(o is None for o in orders) else np.concatenate([o for o in orders if o is not None]),
            parts[0][0].counter,
        )
    empty = {
        key: np.concatenate([log.empty[key] for log in logs if key in log.empty])
        for key in dict.fromkeys(key for log in logs for key in log.empty)
    }
    notes = list(dict.fromkeys(note for log in logs for note in log.notes))
    mode = next((log.loss_agg_mode for log in logs if log.loss_agg_mode), "")
    first = logs[0]
    return replace(
        first, keys=keys, series=series, empty=empty, notes=notes, clocked=clocked, loss_agg_mode=mode
    )


def _rows(log: RawLog) -> int:
    """One more than the last place in a log's own order."""
    return 1 + max(
        (int(s.order.max()) for s in log.series.values() if s.order is not None and len(s)), default=-1
    )


def separate(logs: Sequence[RawLog], wanted: Wanted) -> list[RawLog]:
    """Event files of one folder as runs.

    A file that goes on from a later step than the one before began at is a resumed run and
    is joined to it; one whose entropy begins again at the start is another run.
    """
    runs: list[list[RawLog]] = []
    for log in logs:
        if runs and not _begins_again(runs[-1], log):
            runs[-1].append(log)
        else:
            runs.append([log])
    out = [joined(parts, wanted) for parts in runs]
    if len(out) == 1:
        return out
    return [replace(log, name=f"{log.name} ({k + 1})") for k, log in enumerate(out)]


def _begins_again(before: Sequence[RawLog], log: RawLog) -> bool:
    found = choosing.find_entropy(log.series)
    if found is None:
        return False
    old = next((part.series[found[0]] for part in before if found[0] in part.series), None)
    return old is not None and bool(np.nanmin(log.series[found[0]].step) <= np.nanmin(old.step))
