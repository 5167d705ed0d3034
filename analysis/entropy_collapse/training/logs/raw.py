"""The numbers of one run as a log holds them, before any choice is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from analysis.entropy_collapse.training.logs import choosing

STEP_OF_THE_EVENT = "step of the event"
STEP_OF_THE_VALUE = "step of the value"
NAMELESS = (STEP_OF_THE_EVENT, STEP_OF_THE_VALUE)
"""Counters of formats that store a number beside every value and not what it counts."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of a log. Called with a key, it tells whether that key is worth keeping."""

    entropy: str | None = None
    reward: str | None = None
    step: str | None = None
    whole_lines: bool = False
    """Leave out a last line without its end: somebody is writing it."""
    _known: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, key: str) -> bool:
        """Whether a rule could ask for a key, or a person named it."""
        if key not in self._known:
            self._known[key] = choosing.may_be_used(key) or self.named(key)
        return self._known[key]

    def named(self, key: str) -> bool:
        """Whether a person named a key, in full or by its ending."""
        return any(_fits(key, name) for name in (self.entropy, self.reward, self.step))

    def entropy_key(self, keys: Iterable[str]) -> str | None:
        """The key that holds the entropy: the named one, else by rule; None if there is none."""
        known = list(keys)
        if self.entropy is not None:
            fits = [key for key in known if _fits(key, self.entropy)]
            return self.entropy if self.entropy in fits else next(iter(fits), None)
        found = choosing.find_entropy(known)
        return found[0] if found else None


def _fits(key: str, name: str | None) -> bool:
    return name is not None and (key == name or key.endswith((f"/{name}", f" - {name}")))


@dataclass(frozen=True, eq=False)
class Series:
    """One key's values, in the order of the file."""

    step: np.ndarray
    """float64 (n,); NaN where unknown."""
    value: np.ndarray
    """float64 (n,)."""
    order: np.ndarray | None
    """int64 (n,): which came earlier, comparable between the series of one log. None if nothing tells."""
    counter: str
    """The key that counts these steps. Two counters are never compared by number."""

    def __len__(self) -> int:
        return len(self.value)

    @property
    def known(self) -> Series:
        """The values that have a step."""
        return self.rows(np.isfinite(self.step))

    def rows(self, which: np.ndarray) -> Series:
        """Some of the values."""
        order = None if self.order is None else self.order[which]
        return Series(self.step[which], self.value[which], order, self.counter)


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
    notes: list[str] = field(default_factory=list)
    run: str = ""
    """The run's name, where the log itself says one."""
    clocked: bool = False
    """Whether ``order`` is the time of day: then it is comparable between files."""
    loss_agg_mode: str = ""
    """verl's setting, where the log says it: how entropy was put together from tokens."""
