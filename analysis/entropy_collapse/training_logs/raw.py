"""The numbers of one run as a log holds them, before any choice is made."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.entropy_collapse.training_logs import keys as rules

Progress = Callable[[float, str], None]
Wanted = Callable[[str], bool]
Series = tuple[np.ndarray, np.ndarray]
"""Steps (NaN where unknown) and values, in the order of the file."""


@dataclass
class RawLog:
    """One run: a series per key."""

    name: str
    source: str
    keys: tuple[str, ...]
    """Every key with numbers, kept or not."""
    series: dict[str, Series]
    """Those that a rule or a person may ask for."""
    empty: dict[str, np.ndarray] = field(default_factory=dict)
    """Steps of rows that hold a key without a value."""
    step_key: str = "row number"
    notes: list[str] = field(default_factory=list)


def wanted_keys(*names: str | None) -> Wanted:
    """Test for keys worth keeping: what a rule could ask for, and what a person named."""
    named = {name for name in names if name}
    known: dict[str, bool] = {}

    def test(key: str) -> bool:
        if key not in known:
            known[key] = rules.may_be_used(key) or any(
                key == n or key.endswith((f"/{n}", f" - {n}")) for n in named
            )
        return known[key]

    return test


def number(value: Any) -> float | None:
    """A value as a number; None for text, lists and whatever else is no number."""
    if isinstance(value, bool) or value is None:
        return None if value is None else float(value)
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if isinstance(value, str) and value in ("NaN", "nan", "Infinity", "-Infinity", "inf", "-inf"):
        return float(value)
    return None


class Rows:
    """Collects rows of key-value pairs, keeping only the wanted keys."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._keys: dict[str, None] = {}
        self._values: dict[str, array[float]] = {}
        self._at: dict[str, array[int]] = {}
        self._empty: dict[str, array[int]] = {}
        self.n = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one row; nested objects become ``outer/inner``."""
        for key, value in flat(row):
            if value is None:
                if self._wanted(key):
                    self._empty.setdefault(key, array("q")).append(self.n)
                continue
            as_number = number(value)
            if as_number is None:
                continue
            self._keys.setdefault(key)
            if self._wanted(key):
                self._values.setdefault(key, array("d")).append(as_number)
                self._at.setdefault(key, array("q")).append(self.n)
        self.n += 1

    def log(self, name: str, source: str, step: str | None, notes: Iterable[str] = ()) -> RawLog:
        """All rows as one run; ``step`` names the step's key."""
        values = {k: np.frombuffer(v, float) for k, v in self._values.items()}
        at = {k: np.frombuffer(v, np.int64) for k, v in self._at.items()}
        empty = {k: np.frombuffer(v, np.int64) for k, v in self._empty.items()}
        return by_rows(name, source, tuple(self._keys), values, at, empty, self.n, step, notes)


def flat(row: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterable[tuple[str, Any]]:
    """Key-value pairs of a row; verl's ``data`` and other inner objects are unfolded."""
    for key, value in row.items():
        if isinstance(value, Mapping):
            if depth < 3:
                inner = before if depth == 0 and key == "data" else f"{before}{key}/"
                yield from flat(value, inner, depth + 1)
        else:
            yield f"{before}{key}", value


def by_rows(
    name: str,
    source: str,
    keys: tuple[str, ...],
    values: dict[str, np.ndarray],
    at: dict[str, np.ndarray],
    empty: dict[str, np.ndarray],
    n_rows: int,
    step: str | None,
    notes: Iterable[str] = (),
) -> RawLog:
    """Turn columns with row numbers into series over steps."""
    key = _step_key(keys, at, step)
    notes = list(notes)
    if key is None:
        steps = np.arange(1.0, n_rows + 1)
        notes.append("The log has no step column: rows are counted from 1.")
    else:
        steps = np.full(n_rows, np.nan)
        steps[at[key]] = values[key]
    return RawLog(
        name,
        source,
        keys,
        {k: (steps[at[k]], v) for k, v in values.items() if k != key},
        {k: steps[v] for k, v in empty.items() if k != key and len(v)},
        key or "row number",
        notes,
    )


def _step_key(keys: tuple[str, ...], at: dict[str, np.ndarray], step: str | None) -> str | None:
    """The step's key: the named one, else the first by rule that most entropy rows have."""
    if step is not None:
        return rules.asked(step, keys, "step")
    entropy = rules.find_entropy(at)
    rows = at[entropy[0]] if entropy else None
    for key in rules.STEP:
        if key in at and (rows is None or np.isin(rows, at[key]).sum() >= 0.9 * len(rows)):
            return key
    return None
