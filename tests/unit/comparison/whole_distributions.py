"""Dense distributions as rules on whole distributions get them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.comparison.results import Comparison
from analysis.comparison.rules.whole import Whole
from tests.comparisons import Truth, comparison_of


@dataclass
class Dense:
    """A block of rows."""

    rows: slice
    log_p: Tensor
    p: Tensor
    log_q: Tensor
    q: Tensor


def whole_of_truth(truth: Truth, per_block: int = 5) -> Whole:
    """All tokens but the first, in blocks, in float64."""
    n = len(truth.ids)
    log_p, log_q = (torch.from_numpy(x[1:n].copy()) for x in (truth.log_p, truth.log_q))

    def blocks():
        for begin in range(0, n - 1, per_block):
            rows = slice(begin, begin + per_block)
            both = log_p[rows].clone(), log_q[rows].clone()
            yield Dense(rows, both[0], both[0].exp(), both[1], both[1].exp())

    logits = 20 - np.sort(-truth.log_p[:n], -1)[:, :10]
    return Whole(n, np.arange(1, n), torch.from_numpy(truth.ids[1:].copy()), blocks, lambda: logits)


def one_row(p: list[float], q: list[float], target: int = 0) -> tuple[Comparison, Whole]:
    """A text of two tokens, the second of which these distributions predicted; other ids are all but impossible."""
    from tests.comparisons import V, log_softmax

    rows = []
    for one in (p, q):
        full = np.full(V, 1e-30)
        full[: len(one)] = one
        rows.append(np.tile(log_softmax(np.log(np.maximum(full, 1e-30))), (3, 1)))
        rows[-1][0] = np.nan
    truth = Truth(np.array([1, target], np.int64), *rows)
    return comparison_of(truth), whole_of_truth(truth)
