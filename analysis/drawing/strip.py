"""The token strip: a text drawn as coloured tokens.

Holds what a drawing needs and nothing about how a value was measured. The app draws
it on a canvas, a notebook or a downloaded file draws it as HTML.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.drawing.numbers import short

SPECIAL = 1
"""Flag: a special token such as ``<|im_start|>``, not part of the text proper."""
MARKED = 2
"""Flag: a marked token (a forking token on the entropy page)."""
SPAN = 4
"""Flag: the token lies in a highlighted span (a high-entropy window)."""
ABSENT = 8
"""Flag: of two texts token under token, this one has nothing here."""


@dataclass(frozen=True)
class Strip:
    """One text with one value per token, ready to be drawn.

    Tokens that share a character (byte-level pieces of ``語``) form one cell with parts.
    """

    title: str
    """What the colour shows."""
    unit: str
    """Unit of the values, may be empty."""
    values: np.ndarray
    """float32, shape (T,); NaN where there is no value."""
    cell: np.ndarray
    """int32, shape (T,), never falling: the cell a token belongs to."""
    cell_text: tuple[str, ...]
    """Text of each cell, shape (C,), exactly as in the source text."""
    flags: np.ndarray
    """uint8, shape (T,), a sum of SPECIAL, MARKED, SPAN and ABSENT."""
    low: float
    """Value of the ramp's first colour."""
    high: float
    """Value of the ramp's last colour; values beyond are drawn in it."""
    light: np.ndarray
    """uint8, shape (256, 3): the ramp of the light theme."""
    dark: np.ndarray
    """uint8, shape (256, 3): the ramp of the dark theme."""
    missing: str = "no context"
    """What a missing value means, for the legend and the hover."""
    special: str = "special token"
    """What the dashed frame means, for the legend and the hover."""
    marked: str = ""
    """What the mark means, for the legend; empty when nothing is marked."""
    span: str = ""
    """What the span means, for the legend; empty when there is none."""
    buckets: tuple[str, ...] = field(default=())
    """Names of classes, when values are class numbers 0..n-1 and not amounts."""
    details: tuple[str, ...] = field(default=())
    """Optional text per token for the hover, shape (T,)."""

    @property
    def n_tokens(self) -> int:
        """Number of tokens T."""
        return len(self.values)

    @property
    def ends(self) -> tuple[str, str]:
        """What the legend writes at the two ends of the ramp, the unit at the second; values beyond it are said."""
        signed = self.low < 0
        beyond = " and more" if bool((self.values > self.high).any()) and not self.buckets else ""
        return short(
            self.low, signed=signed
        ), f"{short(self.high, signed=signed)}{beyond} {self.unit}".strip()
