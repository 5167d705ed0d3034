"""What a rule says about two sides: numbers and marks along the aligned tokens, single numbers, and curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from analysis.comparison.rules.origin import Origin
from analysis.drawing.numbers import significant
from analysis.errors import AnalysisError
from analysis.results.tokens import printable
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import pandas as pd

    from analysis.comparison.results import ComparedRows, Comparison

Over = Literal["pairs", "spans"]
"""What a rule's numbers are about: pairs of tokens, or the spans that both sides have."""


@dataclass(frozen=True, eq=False)
class Quantity:
    """A number for every pair or span."""

    name: str
    label: str
    values: np.ndarray
    """float64, (n,), nats to the given power; NaN where there is none."""
    power: int = 0
    """1 for information, 0 for a number without a unit."""

    def in_unit(self, unit: Unit) -> np.ndarray:
        """The values in a unit."""
        return from_nats(self.values, unit, power=self.power)

    def title(self, unit: Unit) -> str:
        """Label with the unit, for an axis."""
        return f"{self.label} ({unit})" if self.power else self.label

    def column(self, unit: Unit) -> str:
        """Name of its column in a table."""
        return f"{self.name}_{unit}" if self.power else self.name


@dataclass(frozen=True)
class Number:
    """A single number."""

    name: str
    label: str
    value: float
    power: int = 0

    def says(self, unit: Unit) -> str:
        """Label and value."""
        value = significant(from_nats(self.value, unit, power=self.power))
        return f"{self.label}: {value} {unit}" if self.power else f"{self.label}: {value}"


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a curve, or a single place on it."""

    name: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class Curve:
    """Lines over one pair of axes."""

    x_name: str
    y_name: str
    lines: tuple[Line, ...]
    places: tuple[Line, ...] = ()
    """Single places, such as what the constants give now."""
    x_power: int = 0
    y_power: int = 0

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per point of every line."""
        import pandas as pd

        x, y = (
            f"{name.replace(' ', '_')}_{unit}" if power else name.replace(" ", "_")
            for name, power in ((self.x_name, self.x_power), (self.y_name, self.y_power))
        )
        parts = [
            pd.DataFrame(
                {
                    "line": line.name,
                    x: from_nats(line.x, unit, power=self.x_power),
                    y: from_nats(line.y, unit, power=self.y_power),
                }
            )
            for line in self.lines
        ]
        return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True, eq=False)
class Laid:
    """A rule laid over two sides."""

    origin: Origin
    quantities: tuple[Quantity, ...]
    """The first is drawn; all are in the table."""
    marks: np.ndarray
    """bool, (n,): what the rule acts at or points to."""
    marked: str
    """What a mark says."""
    numbers: tuple[Number, ...] = ()
    limit: float | None = None
    """What the drawn quantity is held against, in its own unit."""
    curves: tuple[Curve, ...] = ()
    over: Over = "pairs"

    @property
    def curve(self) -> Curve | None:
        """The first curve, if there is one."""
        return self.curves[0] if self.curves else None

    @property
    def positions(self) -> tuple[int, ...]:
        """Marked pairs or spans, in order."""
        return tuple(int(i) for i in np.flatnonzero(self.marks))

    def values(self, name: str) -> np.ndarray:
        """float64, (n,): a quantity by its name."""
        return next(one.values for one in self.quantities if one.name == name)

    def number(self, name: str) -> float:
        """A single number by its name."""
        return next(one.value for one in self.numbers if one.name == name)

    def on(self, c: Comparison, side: Literal["a", "b"]) -> np.ndarray:
        """bool, (T,): which tokens of a side are marked."""
        return np.asarray(self.at_tokens(c, side, self.marks.astype(np.float64)) == 1)

    def at_tokens(self, c: Comparison, side: Literal["a", "b"], values: np.ndarray) -> np.ndarray:
        """float64, (T,): a number of every pair or span at the tokens of a side; NaN at those in none."""
        number = np.full(len(c.a.tokens if side == "a" else c.b.tokens), -1)
        if self.over == "spans":
            number = c.alignment.span_a if side == "a" else c.alignment.span_b
        else:
            number[c.alignment.pairs[:, 0 if side == "a" else 1]] = np.arange(len(values))
        return np.where(number >= 0, values[number], np.nan)

    def says(self, unit: Unit = "nats") -> str:
        """The single numbers, and how many marks there are."""
        what = "tokens" if self.over == "pairs" else "spans"
        marked = f"{self.marked}: {int(self.marks.sum())} of {len(self.marks)} {what}" if self.marked else ""
        return " · ".join([*(one.says(unit) for one in self.numbers), *([marked] if marked else [])])

    def to_frame(self, c: Comparison, unit: Unit = "nats") -> pd.DataFrame:
        """One row per pair or span."""
        import pandas as pd

        columns = {one.column(unit): one.in_unit(unit) for one in self.quantities}
        return pd.DataFrame({**places(c, self.over), "marked": self.marks, **columns})


def places(c: Comparison, over: Over = "pairs") -> dict[str, Sequence[object] | np.ndarray]:
    """Where pairs or spans stand, and how they read, for a table."""
    if over == "spans":
        return {"span": np.arange(len(c.spans.text)), "text": [printable(text) for text in c.spans.text]}
    position_a, position_b = c.alignment.pairs.T
    token = [printable(c.a.tokens.text[t]) for t in position_a]
    return {"position_a": position_a, "position_b": position_b, "token": token}


def rows_of(c: Comparison) -> ComparedRows:
    """The compared rows of a comparison, at least one of which has context on both sides.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one.
    """
    if c.rows is None:
        why = c.unavailable.get("rows", "The vocabularies are different.")
        raise AnalysisError(
            f"This rule compares token by token. {why}", "Choose two sides with one vocabulary."
        )
    if not c.rows.has_context.any():
        raise AnalysisError("No token was predicted on both sides.", "Compare a longer text.")
    return c.rows


def known(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """float64 copy of values, NaN where a side had no context."""
    return np.where(there, values.astype(np.float64), np.nan)


def answer_from(c: Comparison, first: int) -> np.ndarray:
    """bool, (n,): pairs from a token of A on that have context on both sides.

    Parameters
    ----------
    c : Comparison
        With rows.
    first : int
        First token of A that counts, such as the first of the answer.

    Raises
    ------
    AnalysisError
        If no such token was compared.
    """
    there = rows_of(c).has_context & (c.alignment.pairs[:, 0] >= first)
    if not there.any():
        raise AnalysisError(f"No token from {first} on was compared.", "Choose an earlier first token.")
    return there
