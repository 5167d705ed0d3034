"""Steps of a console log from the progress bar that is drawn again below every printed row."""

from __future__ import annotations

import re

import numpy as np

from analysis.entropy_collapse.training.logs.rows import Rows

_BAR = re.compile(r"(\d+)/(\d+) \[\d[\d:]*<")
"""tqdm's ``12/100 [00:36<``."""
COUNTER = "progress bar"
_MOST = 0.9
_MAX_BARS = 8
"""Bars of different lengths that are looked at below one row."""


class Bars:
    """Remembers which bar was drawn below which row."""

    def __init__(self) -> None:
        self._below: dict[int, dict[int, int]] = {}
        self._row: int | None = None

    def row(self, number: int) -> None:
        """A row has been printed."""
        self._row = number

    def take(self, line: str) -> None:
        """Look for bars on a line; of each length the first below a row counts."""
        if self._row is None or "<" not in line:
            return
        below = self._below.setdefault(self._row, {})
        for found in _BAR.finditer(line):
            if len(below) < _MAX_BARS:
                below.setdefault(int(found[2]), int(found[1]))

    def counted(self, rows: Rows) -> None:
        """Give the rows the steps of the bar that stands below nearly all of them and only goes forward.

        There may be others: of an evaluation, of files that are loaded. Without such a bar
        the rows stay as they are.
        """
        lengths = {length for below in self._below.values() for length in below}
        for length in sorted(lengths, reverse=True):
            steps = {row: float(below[length]) for row, below in self._below.items() if length in below}
            forward = np.diff(list(steps.values()))
            if len(steps) >= _MOST * rows.n and (forward >= 0).all() and (forward > 0).any():
                rows.count(COUNTER, steps)
                return
