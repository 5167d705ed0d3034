"""What was measured of pruned models on changed pictures, and its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.visual_tokens.stability import practical_budget, robustness

if TYPE_CHECKING:
    from analysis.visual_tokens.perturbation import Noise


@dataclass(frozen=True, eq=False)
class FragileCell:
    """One method at one number of tokens, on Q questions.

    Parameters
    ----------
    method, label : str
    amount : float
        Tokens that were to be kept: a number, or a share.
    kept : int
        Tokens kept; 0 with a ``why``.
    clean, noisy : numpy.ndarray
        (Q,) of bool: right on the picture as it is, and changed.
    kept_again : numpy.ndarray
        (Q,): share of the tokens kept that are kept on the changed picture too.
    correlation, infiltrated : numpy.ndarray
        (Q,): Spearman's correlation of the method's scores, and the share of the bottom that comes to the top
        (:func:`analysis.visual_tokens.stability.rank_stability`). NaN where it has no one score.
    why : str
        Why there are no numbers; then the arrays are empty.
    """

    method: str
    label: str
    amount: float
    kept: int
    clean: np.ndarray
    noisy: np.ndarray
    kept_again: np.ndarray
    correlation: np.ndarray
    infiltrated: np.ndarray
    why: str = ""


@dataclass(frozen=True, eq=False)
class Fragility:
    """Right answers with all tokens and with few, on pictures as they are and changed.

    Parameters
    ----------
    noise : Noise
        How the pictures were changed.
    picture : numpy.ndarray
        (Q,) of int: picture of each question, in the order they were given.
    full_clean, full_noisy : numpy.ndarray
        (Q,) of bool: right with all tokens.
    cells : tuple of FragileCell
    changed : tuple of numpy.ndarray
        Each changed picture as the tower sees it, (height, width, 3) of uint8.
    """

    noise: Noise
    picture: np.ndarray
    full_clean: np.ndarray
    full_noisy: np.ndarray
    cells: tuple[FragileCell, ...]
    changed: tuple[np.ndarray, ...]

    def broken(self, cell: FragileCell) -> np.ndarray:
        """Questions that compression alone gets wrong on the changed picture, (Q,) of bool."""
        return self.full_clean & self.full_noisy & cell.clean & ~cell.noisy

    def to_frame(self) -> pd.DataFrame:
        """One row a cell.

        Returns
        -------
        pandas.DataFrame
            ``method``, ``tokens``, ``clean`` and ``noisy`` (accuracies), ``survival`` (SR), ``error`` (CER) and
            ``broken`` (CBR) with ``_low`` and ``_high`` of their 95 % intervals over pictures, ``sound`` (questions that
            CBR is about), ``practical`` (K_prac of the method among these numbers), ``kept_again``, ``correlation``,
            ``infiltrated`` (means over questions), ``why``.
        """
        rows: list[dict[str, object]] = []
        for cell in self.cells:
            row: dict[str, object] = {"method": cell.method, "tokens": cell.kept, "why": cell.why}
            if not cell.why:
                found = robustness(self.full_clean, self.full_noisy, cell.clean, cell.noisy, self.picture)
                row |= {
                    "clean": cell.clean.mean(),
                    "noisy": cell.noisy.mean(),
                    "survival": found.survival,
                    "sound": found.n_sound,
                    "practical": self._practical(cell.method),
                    "kept_again": cell.kept_again.mean(),
                    "correlation": cell.correlation.mean(),
                    "infiltrated": cell.infiltrated.mean(),
                }
                for name, interval in (("error", found.error), ("broken", found.broken)):
                    row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
            rows.append(row)
        return pd.DataFrame(rows, columns=_COLUMNS)

    def _practical(self, method: str) -> int | None:
        cells = {c.kept: c.clean for c in self.cells if c.method == method and not c.why}
        return practical_budget(self.full_clean, cells)


_COLUMNS = [
    "method",
    "tokens",
    "clean",
    "noisy",
    "survival",
    "error",
    "error_low",
    "error_high",
    "broken",
    "broken_low",
    "broken_high",
    "sound",
    "practical",
    "kept_again",
    "correlation",
    "infiltrated",
    "why",
]
