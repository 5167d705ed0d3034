"""What a context adds to an answer: divergence of the predictions with it from those without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity, answer_from, known, rows_of
from analysis.comparison.rules.origin import Constant, Origin
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison

ORIGIN = Origin(
    source="After " + titled("feature_gap"),
    formula="KL(with context || without) at each token of the answer, and its mean",
    known="guess of ours",
    note="A stand-in of ours: the paper reads three directions of the hidden states, which are found with labelled "
    "questions that are not here. A large value says that the answer comes from the context, not that it is right.",
    sides="A is without the context, B with it.",
    constants=(Constant("first", "First token of the answer", 0, 0, 100_000, 1, "tokens"),),
)


def feature_gap(c: Comparison, first: int = 0) -> Laid:
    """Divergence that a context makes along an answer.

    Parameters
    ----------
    c : Comparison
        Of one text, B with a context before it.
    first : int, default 0
        First token of A that is the answer's.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one, or none from ``first`` on.
    """
    there = answer_from(c, first)
    rows = rows_of(c)
    gap = known(rows.kl_ba, there)
    change = known(rows.surprisal_change, there)
    numbers = (
        Number("mean_gap", "mean KL(B‖A)", float(np.nanmean(gap)), 1),
        Number("surprisal_change", "mean surprisal change", float(np.nanmean(change)), 1),
    )
    quantities = (
        Quantity("gap", "KL(with‖without context)", gap, 1),
        Quantity("surprisal_change", "surprisal change", change, 1),
    )
    return Laid(ORIGIN, quantities, there & (rows.first_differs == 1), "another first choice", numbers)
