"""Hyperfitting: a model trained far beyond its best loss on few texts; what of it shows on two sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity, known, rows_of
from analysis.comparison.rules.origin import Constant, Origin
from analysis.errors import AnalysisError
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison

LAST = 96
SHARPER = 0.5

ORIGIN = Origin(
    source=titled("hyperfitting") + " FreddeFrallan/Hyperfitting.",
    formula="mean entropy falls towards 0 and loss on texts that were not trained on rises, while different / all of the "
    f"last {LAST} greedily written tokens (type-token ratio) rises",
    known="code read",
    note="Only what two sides show: whether B is hyperfitted is not decided here. The paper trains all weights on 2,000 texts "
    "for 20 to 30 rounds; a small adapter trained to a low loss is not that. The text should be one that B was not trained "
    "on. The mark, entropy below half of A's, is ours. The ratio needs tokens that each side wrote, greedily.",
    sides="A is the model before, B after.",
    constants=(Constant("sharper", "Marked below this share of A's entropy", SHARPER, 0.05, 1.0, 0.05),),
)


def type_token_ratio(ids: Sequence[int] | np.ndarray, last: int = LAST) -> float:
    """Different tokens over tokens among the last ones written.

    Parameters
    ----------
    ids : sequence of int
        As written.
    last : int, default 96
        How many count.

    Raises
    ------
    AnalysisError
        If nothing was written.
    """
    counted = np.asarray(ids, np.int64)[-last:]
    if not len(counted):
        raise AnalysisError("Nothing was written.", "Write some tokens first.")
    return len(np.unique(counted)) / len(counted)


def sharpening(
    c: Comparison,
    sharper: float = SHARPER,
    *,
    written_a: Sequence[int] | None = None,
    written_b: Sequence[int] | None = None,
) -> Laid:
    """How much sharper B is on a text, and at what loss.

    Parameters
    ----------
    c : Comparison
        Of a model before and after training.
    sharper : float
        Share of A's entropy below which a token is marked.
    written_a, written_b : sequence of int, optional
        Greedily written ids of each side, such as those of a branch; adds their type-token ratios.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one.
    """
    rows = rows_of(c)
    there = rows.has_context
    a, b = known(rows.entropy_a, there), known(rows.entropy_b, there)
    change = known(rows.surprisal_change, there)
    numbers = [
        Number("entropy_a", "mean entropy of A", float(np.nanmean(a)), 1),
        Number("entropy_b", "of B", float(np.nanmean(b)), 1),
        Number("surprisal_change", "mean surprisal change", float(np.nanmean(change)), 1),
    ]
    for name, label, ids in (("a", "A", written_a), ("b", "B", written_b)):
        if ids is not None:
            numbers.append(Number(f"ttr_{name}", f"type-token ratio of {label}", type_token_ratio(ids)))
    quantities = (
        Quantity("entropy_change", "entropy change", b - a, 1),
        Quantity("surprisal_change", "surprisal change", change, 1),
    )
    return Laid(ORIGIN, quantities, b < sharper * a, "sharper", tuple(numbers), limit=0.0)
