"""What a training log says about one run: curves over steps, and which keys they come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd

Meaning = Literal["per token", "estimator", "per sequence", "not known"]
"""What a logged entropy is. "per token": mean over tokens, in nats. "estimator": the same in
expectation, but possibly the mean of -log p of the sampled tokens. "per sequence": summed over
each answer, so it grows with length. "not known": nobody said."""
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)

LARGEST_PER_TOKEN = float(np.log(262_144))
"""Nats. No mean over tokens is higher: ln V of the largest vocabularies in use, about 12.5."""

XAxis = Literal["step", "tokens", "time"]
X_AXES: tuple[XAxis, ...] = get_args(XAxis)
"""What a curve can be drawn over."""


@dataclass(frozen=True, eq=False)
class TrainingCurve:
    """One run of a training log, training rows only.

    Arrays have one entry a row, in the order of steps; a step appears once. NaN where a
    column has no value: nothing is filled in.
    """

    name: str
    source: str
    """Format of the log, such as "TRL trainer_state.json"."""
    step: np.ndarray
    """float64, shape (n,), strictly rising."""
    columns: dict[str, np.ndarray]
    """float64 (n,) each: "entropy" (nats as logged, see ``meaning``), and where the log has them
    "reward", "length" (tokens of an answer), "kl", "gradient norm", "clipped share"."""
    chosen: dict[str, str]
    """The log's key behind every column, and behind "step", "tokens" and "seconds"."""
    candidates: tuple[str, ...] = ()
    """Every key of the log that holds numbers."""
    meaning: Meaning = "not known"
    """What the entropy is."""
    assumed: str = ""
    """What the meaning rests on where the log does not say it, such as "aggregation unknown"."""
    scaling: str = ""
    """What was done to the logits before the entropy was taken, as far as the format tells."""
    temperature: float | None = None
    """Sampling temperature, if somebody said it: logs do not contain it."""
    tokens: np.ndarray | None = None
    """Tokens processed so far, float64 (n,)."""
    seconds: np.ndarray | None = None
    """Seconds since the run, or its log, began; float64 (n,)."""
    evaluation: TrainingCurve | None = None
    """Rows measured on held-out data, never mixed with the training rows."""
    notes: tuple[str, ...] = field(default=())
    """What a reader should know: keys that need care, rows that were left out."""

    def __post_init__(self) -> None:
        n = len(self.step)
        arrays = [*self.columns.values(), *(a for a in (self.tokens, self.seconds) if a is not None)]
        assert self.meaning in MEANINGS, self.meaning
        assert all(a.shape == (n,) for a in arrays), "columns and steps differ in length"
        assert (np.diff(self.step) > 0).all(), "steps must rise"

    def __len__(self) -> int:
        return len(self.step)

    @property
    def entropy(self) -> np.ndarray:
        """Policy entropy as logged; NaN throughout if these rows have none."""
        return self._column("entropy")

    @property
    def reward(self) -> np.ndarray:
        """Mean reward; NaN throughout if the log has none."""
        return self._column("reward")

    def _column(self, name: str) -> np.ndarray:
        return self.columns.get(name, np.full(len(self), np.nan))

    def has(self, column: str) -> bool:
        """Whether a column holds at least one number."""
        return bool(np.isfinite(self._column(column)).any())

    def x(self, axis: XAxis = "step") -> np.ndarray | None:
        """Steps, tokens or seconds; None if the log does not tell.

        Raises
        ------
        ValueError
            If there is no such axis.
        """
        if axis not in X_AXES:
            raise ValueError(f"axis must be one of {X_AXES}, got {axis!r}")
        return {"step": self.step, "tokens": self.tokens, "time": self.seconds}[axis]

    def rows_of(self, column: str) -> np.ndarray:
        """Rows that a line through one column visits.

        Returns
        -------
        numpy.ndarray of int
            From its first to its last value. Rows without a value are gaps and stay in, so
            that the line breaks there, unless more than half of the rows have none: then the
            column is logged more rarely than the others, and only its values stay.
        """
        known = np.isfinite(self._column(column))
        if not known.any():
            return np.empty(0, int)
        first, last = np.flatnonzero(known)[[0, -1]]
        inside = np.arange(first, last + 1)
        return inside if known[inside].mean() >= 0.5 else np.flatnonzero(known)

    @property
    def kind(self) -> str:
        """What the entropy is, with what is only assumed of it."""
        return f"{self.meaning} ({self.assumed})" if self.assumed else self.meaning

    @property
    def subtitle(self) -> str:
        """Where the numbers come from, for the small type under a figure."""
        keys = ", ".join(f"{c} = {self.chosen[c]}" for c in ("entropy", "reward") if c in self.columns)
        scaling = f"; {self.scaling}" if self.scaling else ""
        temperature = f", T = {self.temperature:g}" if self.temperature is not None else ""
        return f"{self.name} · {self.source} · {keys} · entropy {self.kind}{scaling}{temperature}"

    def to_frame(self) -> pd.DataFrame:
        """One row per step: ``step``, ``tokens`` and ``seconds`` where known, then every column.

        Entropy is in nats as logged.
        """
        data = {"step": self.step}
        if self.tokens is not None:
            data["tokens"] = self.tokens
        if self.seconds is not None:
            data["seconds"] = self.seconds
        return pd.DataFrame(data | self.columns)


def distinct(curves: Iterable[TrainingCurve]) -> list[TrainingCurve]:
    """Curves whose names differ: runs of one name are numbered."""
    out: list[TrainingCurve] = []
    for own in curves:
        taken, name, k = {c.name for c in out}, own.name, 2
        while name in taken:
            name, k = f"{own.name} ({k})", k + 1
        out.append(replace(own, name=name))
    return out
