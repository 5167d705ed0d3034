"""Critical tokens by the contrast of two models: after cDPO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity, rows_of
from analysis.comparison.rules.origin import Constant, Origin
from analysis.comparison.rules.whole import Whole, WholeRows, at, mixed
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.comparison.results import Comparison

BETA, CRITICAL = 1.0, 0.05

ORIGIN = Origin(
    source=titled("cdpo") + " chenzhiling9954/Critical-Tokens-Matter.",
    formula="s = softmax((1 + beta) logits of B - beta logits of A) at the text's token; small s: critical",
    known="code read",
    note="In the paper B is trained on right answers and A on wrong ones. With any other two sides, such as a base model and "
    "a tuned one, this is a contrastive score and says nothing about right and wrong. Below which score a token is marked "
    "is a guess of ours; the paper finds critical tokens by writing on from them 64 times.",
    sides="A is the negative model, B the positive one.",
    constants=(
        Constant("beta", "beta", BETA, 0.0, 4.0, 0.1, "", "code read"),
        Constant("critical", "Critical below", CRITICAL, 0.0, 1.0, 0.01),
    ),
)


def contrastive_score(c: Comparison, whole: Whole, beta: float = BETA, critical: float = CRITICAL) -> Laid:
    """Score the text's tokens by a contrast of B with A.

    Parameters
    ----------
    c : Comparison
        Of a negative and a positive model.
    whole : Whole
        Both sides' distributions.
    beta : float
        At 0 the score is B's probability.
    critical : float
        Scores below it are marked.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one.
    """
    rows_of(c)

    def measure(block: WholeRows, targets: Tensor) -> tuple[Tensor]:
        return (at(mixed(block, -beta, 1 + beta), targets),)

    (log_score,) = whole.measured(1, measure)
    score = np.exp(log_score)
    numbers = (Number("mean_score", "mean score", float(np.nanmean(score))),)
    quantities = (
        Quantity("score", "contrastive score", score),
        Quantity("minus_log_score", "-ln of the score", -log_score, 1),
    )
    return Laid(ORIGIN, quantities, score < critical, "small score", numbers, limit=critical)
