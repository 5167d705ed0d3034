"""Differential information: the distribution proportional to q / p, and its entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity, rows_of
from analysis.comparison.rules.origin import Constant, Origin
from analysis.comparison.rules.whole import Whole, WholeRows, at
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.comparison.results import Comparison

LEAST = 1e-4

ORIGIN = Origin(
    source=titled("differential_information"),
    formula="r proportional to q / p over the tokens that A or B gives the least probability or more; its entropy",
    known="second hand",
    note="In the paper the distribution is over whole answers; per token it is ours. Without a floor the many tokens that "
    "neither side expects decide it: the floor is a guess of ours, and the entropy depends on it.",
    sides="A is the reference, B the aligned model.",
    constants=(Constant("least", "Least probability", LEAST, 1e-6, 1e-2, 1e-6),),
)


def differential_information(c: Comparison, whole: Whole, least: float = LEAST) -> Laid:
    """Entropy of what B learnt beyond A, token by token.

    Parameters
    ----------
    c : Comparison
        Of a reference and an aligned model.
    whole : Whole
        Both sides' distributions.
    least : float
        Tokens below it on both sides are left out.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one.
    """
    rows_of(c)

    def measure(block: WholeRows, targets: Tensor) -> tuple[Tensor, ...]:
        left_out = (block.p < least) & (block.q < least)
        log_r = (block.log_q - block.log_p).masked_fill_(left_out, float("-inf"))
        log_r -= log_r.logsumexp(-1, keepdim=True)
        entropy = -(log_r.exp() * log_r.masked_fill(left_out, 0.0)).sum(-1)
        return entropy, at(log_r, targets), (~left_out).sum(-1)

    entropy, log_r, count = whole.measured(3, measure)
    surprisal = np.where(np.isinf(log_r), np.nan, -log_r)
    numbers = (
        Number("mean_entropy", "mean entropy of q / p", float(np.nanmean(entropy)), 1),
        Number("mean_tokens", "mean number of tokens above the floor", float(np.nanmean(count))),
    )
    quantities = (
        Quantity("entropy", "entropy of q / p", entropy, 1),
        Quantity("surprisal", "surprisal of the text's token under q / p", surprisal, 1),
        Quantity("tokens", "tokens above the floor", count),
    )
    return Laid(ORIGIN, quantities, np.isinf(log_r), "the text's token is below the floor", numbers)
