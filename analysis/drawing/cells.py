"""A map of cells: a matrix drawn as colours, with a linear, square root or logarithmic scale.

Holds what a drawing needs and nothing about how a value was measured; the app draws it on a canvas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from analysis.drawing.numbers import short

CellScale = Literal["linear", "square root", "log"]
CELL_SCALES: tuple[CellScale, ...] = get_args(CellScale)
LOG_DECADES = 4
"""Powers of ten that a logarithmic scale shows below its highest value."""


@dataclass(frozen=True)
class CellAxis:
    """The rows or the columns of a map."""

    title: str
    """What is counted, for the axis."""
    labels: tuple[str, ...]
    """A short label of each row or column; the drawing leaves out what has no room."""
    names: tuple[str, ...]
    """The full name of each, for hover and screen reader."""

    @staticmethod
    def numbered(title: str, numbers: Sequence[int], name: str | None = None) -> CellAxis:
        """Rows or columns that have a number only, such as layers; ``name`` is the title by default."""
        return CellAxis(
            title, tuple(map(str, numbers)), tuple(f"{name or title} {number}" for number in numbers)
        )


@dataclass(frozen=True, eq=False)
class Cells:
    """One value per row and column, ready to be drawn; row 0 on top."""

    title: str
    """What the colour shows."""
    unit: str
    """Unit of the values, may be empty."""
    values: np.ndarray
    """float32, shape (R, C); NaN where there is no value: drawn hatched."""
    rows: CellAxis
    columns: CellAxis
    low: float
    """Value of the ramp's first colour; below zero for signed values, symmetric about zero."""
    high: float
    """Value of the ramp's last colour; values beyond are drawn in it, and the legend says so."""
    light: np.ndarray
    """uint8, shape (256, 3): the ramp of the light theme."""
    dark: np.ndarray
    """uint8, shape (256, 3): the ramp of the dark theme."""
    scale: CellScale = "square root"
    """How values become colours; a logarithmic one is for values of one sign."""
    missing: str = "not visible"
    """What a hatched cell means, for the legend and the hover."""
    texts: tuple[str, ...] = field(default=())
    """A word per cell, row by row, drawn where there is room; an empty one is not drawn."""
    details: tuple[str, ...] = field(default=())
    """A line per cell for the hover, row by row; none by default."""
    outlined: np.ndarray | None = None
    """bool, shape (R, C): cells with a thin frame."""
    outlined_name: str = ""
    """What the frame means, for the legend and the hover."""

    def __post_init__(self) -> None:
        shape = (len(self.rows.labels), len(self.columns.labels))
        size = shape[0] * shape[1]
        names = (len(self.rows.names), len(self.columns.names))
        words = {len(part) for part in (self.texts, self.details) if part}
        framed = self.outlined is None or self.outlined.shape == shape
        if self.values.shape != shape or names != shape or words - {size} or not framed:
            raise ValueError(
                f"a map of {self.values.shape} cells with {shape} labels, {names} names and words for {words or {0}}"
            )
        if not -math.inf < self.low < self.high < math.inf or (self.scale == "log" and self.low < 0):
            raise ValueError(f"no {self.scale} scale goes from {self.low} to {self.high}")

    @property
    def _first(self) -> float:
        """The value of the first colour: a logarithm has no zero."""
        return max(self.low, self.high * 10.0**-LOG_DECADES) if self.scale == "log" else self.low

    def shares(self) -> np.ndarray:
        """Place of each value on the ramp, float64, shape (R, C), in [0, 1]; NaN where there is none.

        Notes
        -----
        Linear: ``(v - low) / (high - low)``. Square root: the root of that, or for signed values the root of
        ``|v| / high`` to either side of the middle. Log: ``ln(v / first) / ln(high / first)``, where ``first`` is
        ``low``, but at most :data:`LOG_DECADES` powers of ten below ``high``.
        """
        values = self.values.astype(np.float64)
        if self.scale == "log":
            with np.errstate(divide="ignore", invalid="ignore"):
                raw = np.log(values / self._first) / np.log(self.high / self._first)
            raw = np.where(values <= self._first, 0.0, raw)
        elif self.scale == "square root" and self.low < 0:
            raw = 0.5 + 0.5 * np.sign(values) * np.sqrt(np.abs(values) / self.high)
        else:
            raw = np.clip((values - self.low) / (self.high - self.low), 0, None)
            raw = np.sqrt(raw) if self.scale == "square root" else raw
        return np.clip(raw, 0, 1)

    def codes(self) -> np.ndarray:
        """Index of each cell's colour in a ramp, uint8, shape (R, C); 0 where there is no value."""
        return np.rint(255 * np.nan_to_num(self.shares())).astype(np.uint8)

    def value_at(self, share: float) -> float:
        """Value of the colour at a share in [0, 1] of the ramp."""
        if self.scale == "log":
            return float(self._first * (self.high / self._first) ** share)
        if self.scale == "square root" and self.low < 0:
            return math.copysign((2 * share - 1) ** 2 * self.high, share - 0.5)
        return self.low + (self.high - self.low) * (share**2 if self.scale == "square root" else share)

    @property
    def capped(self) -> bool:
        """Whether a value lies beyond the last colour."""
        return bool((self.values > self.high).any())

    @property
    def marks(self) -> tuple[str, str, str]:
        """What the legend writes at the beginning, the middle and the end of the ramp."""
        signed = self.low < 0
        low, middle, high = (short(self.value_at(share), signed=signed) for share in (0.0, 0.5, 1.0))
        if bool((self.values < self._first).any()):
            low = f"{low} and less"
        high = f"{high} {self.unit}".strip()
        return low, middle, f"{high} and more" if self.capped else high
