"""Rows of keys and values, gathered into columns, and given their steps."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.entropy_collapse.training.logs import choosing
from analysis.entropy_collapse.training.logs import keys as rules
from analysis.entropy_collapse.training.logs.ranks import mean_over_ranks
from analysis.entropy_collapse.training.logs.raw import RawLog, Series, Wanted

ROW_NUMBER = "row number"
"""The counter of a log that has none."""
_COVERS = 0.9
"""Share of a column's rows that a counter has to be on."""
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$")
_NO_NUMBERS = ("nan", "inf", "-inf", "+inf", "infinity", "-infinity")
_OF_ALL = re.compile(r"(\d+)\s*/\s*\d+$")
"""A step out of all steps: ms-swift writes ``5/10000``."""


def number(value: Any) -> float | None:
    """A value as a number, also one in quotes; None for text, lists and whatever else is no number."""
    if isinstance(value, bool) or value is None:
        return None if value is None else float(value)
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if isinstance(value, str):
        value = value.strip()
        if _NUMBER.match(value) or value.lower() in _NO_NUMBERS:
            return float(value)
    return None


def flat(row: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterable[tuple[str, Any]]:
    """Key-value pairs of a row; verl's ``data`` and other inner objects are unfolded."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            if depth < 3:
                inner = before if depth == 0 and key == "data" else f"{before}{key}/"
                yield from flat(value, inner, depth + 1)
        else:
            yield f"{before}{key}", value


@dataclass
class Cells:
    """Columns with row numbers, before anybody knows their steps."""

    keys: tuple[str, ...]
    """Every key with numbers, kept or not."""
    values: dict[str, np.ndarray]
    at: dict[str, np.ndarray]
    """Row of every value, from 0."""
    empty: dict[str, np.ndarray]
    """Rows that hold a key without a value."""
    n_rows: int
    counters: tuple[str, ...] = ()
    """Keys that count steps, though their names do not say it; best first."""


class Rows:
    """Collects rows of key-value pairs, keeping only the wanted keys."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._keys: dict[str, None] = {}
        self._values: dict[str, array[float]] = {}
        self._at: dict[str, array[int]] = {}
        self._empty: dict[str, array[int]] = {}
        self._counters: dict[str, None] = {}
        self.n = 0

    def add(self, row: Mapping[str, Any], counter: tuple[str, float] | None = None) -> None:
        """Take one row; nested objects become ``outer/inner``.

        ``counter`` is a step that stands beside the row, and what counts it.
        """
        if counter is not None:
            self._counters.setdefault(counter[0])
            row = {counter[0]: counter[1], **row}
        for key, value in flat(row):
            kept = self._wanted(key) or key in self._counters
            if value is None:
                if kept:
                    self._empty.setdefault(key, array("q")).append(self.n)
                continue
            as_number = number(value)
            if as_number is None and isinstance(value, str) and rules.is_step(key):
                of_all = _OF_ALL.match(value.strip())
                as_number = float(of_all[1]) if of_all else None
            if as_number is None:
                continue
            self._keys.setdefault(key)
            if kept:
                self._values.setdefault(key, array("d")).append(as_number)
                self._at.setdefault(key, array("q")).append(self.n)
        self.n += 1

    def mention(self, keys: Iterable[str]) -> None:
        """Tell of keys that hold numbers and are not kept."""
        self._keys.update(dict.fromkeys(keys))

    def count(self, counter: str, steps: Mapping[int, float]) -> None:
        """Give rows a step that became known after they were taken."""
        self._counters.setdefault(counter)
        self._values[counter] = array("d", steps.values())
        self._at[counter] = array("q", steps)

    def cells(self) -> Cells:
        """All rows as columns."""
        return Cells(
            tuple(self._keys),
            {k: np.frombuffer(v, float) for k, v in self._values.items()},
            {k: np.frombuffer(v, np.int64) for k, v in self._at.items()},
            {k: np.frombuffer(v, np.int64) for k, v in self._empty.items()},
            self.n,
            tuple(self._counters),
        )

    def log(self, name: str, source: str, notes: Iterable[str] = ()) -> RawLog:
        """All rows as one run."""
        return by_rows(name, source, self.cells(), self._wanted, notes)


def by_rows(name: str, source: str, cells: Cells, wanted: Wanted, notes: Iterable[str] = ()) -> RawLog:
    """Turn columns with row numbers into series over steps.

    Every column is counted by the counter of the entropy's rows if it stands on its own rows
    too, else by the first other counter that does. A counter that stands on most rows only is
    filled from one that agrees with it wherever both stand: verl's first validation has a
    ``step`` and no ``training/global_step``.

    Raises
    ------
    MissingColumnError
        If a person named a step that is not there.
    """
    notes = list(notes)
    entropy = wanted.entropy_key([*cells.at, *cells.empty])
    counters = _counters(cells, wanted)
    main = _main_counter(cells, counters, entropy, wanted)
    if main == ROW_NUMBER:
        counters[main] = _row_numbers(cells, entropy)
        notes.append("The log has no step column: rows are counted from 1.")
    series = {
        key: _series(value, cells.at[key], counters, main)
        for key, value in cells.values.items()
        if key != main
    }
    series, spread = mean_over_ranks(series, cells.at, _ranks(cells, entropy), entropy)
    notes += spread
    empty = {k: counters[main][rows] for k, rows in cells.empty.items() if k != main and len(rows)}
    return RawLog(name, source, cells.keys, series, empty, notes)


def _counters(cells: Cells, wanted: Wanted) -> dict[str, np.ndarray]:
    """Steps of every row by each counter, the best counter first."""
    named = choosing.find_key(wanted.step, cells.keys, "step") if wanted.step is not None else None
    known = [named, *rules.STEP, *cells.counters, *(k for k in cells.at if rules.is_step(k))]
    out: dict[str, np.ndarray] = {}
    for key in known:
        if key is None or key in out or key not in cells.at:
            continue
        value = cells.values[key]
        if key not in (named, *rules.STEP) and not (np.isfinite(value) & (value == np.floor(value))).all():
            continue
        steps = np.full(cells.n_rows, np.nan)
        steps[cells.at[key]] = value
        out[key] = steps
    return out


def _main_counter(cells: Cells, counters: dict[str, np.ndarray], entropy: str | None, wanted: Wanted) -> str:
    """The counter of the entropy's rows, filled; of all rows where there is no entropy."""
    rows = cells.at[entropy] if entropy in cells.at else np.arange(cells.n_rows)
    main = next(iter(counters), None) if wanted.step else _covering(rows, counters)
    if main is None:
        return ROW_NUMBER
    for other in counters.values():
        both = np.isfinite(counters[main]) & np.isfinite(other)
        if both.sum() > 1 and (counters[main][both] == other[both]).all():
            counters[main] = np.where(np.isfinite(counters[main]), counters[main], other)
    return main


def _covering(rows: np.ndarray, counters: dict[str, np.ndarray]) -> str | None:
    for key, steps in counters.items():
        if len(rows) == 0 or np.isfinite(steps[rows]).mean() >= _COVERS:
            return key
    return None


def _row_numbers(cells: Cells, entropy: str | None) -> np.ndarray:
    """Numbers of rows from 1; only rows that hold the entropy count."""
    counts = np.full(cells.n_rows, entropy is None)
    for rows in (cells.at.get(entropy or "", ()), cells.empty.get(entropy or "", ())):
        counts[np.asarray(rows, int)] = True
    return np.cumsum(counts).astype(float)


def _series(value: np.ndarray, rows: np.ndarray, counters: dict[str, np.ndarray], main: str) -> Series:
    own = _covering(rows, {main: counters[main]} | counters) or main
    return Series(counters[own][rows], value, rows, own)


def _ranks(cells: Cells, entropy: str | None) -> np.ndarray | None:
    """The process behind every row, if the log tells."""
    rows = cells.at[entropy] if entropy in cells.at else np.arange(cells.n_rows)
    for key in rules.RANK:
        if key not in cells.at:
            continue
        rank = np.full(cells.n_rows, np.nan)
        rank[cells.at[key]] = cells.values[key]
        if np.isfinite(rank[rows]).mean() >= _COVERS and len(np.unique(rank[rows])) > 1:
            return rank
    return None
