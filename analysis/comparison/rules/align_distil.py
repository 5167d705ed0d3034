"""Token rewards of an aligned model against its reference, and the teacher that AlignDistil makes of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity, known, rows_of
from analysis.comparison.rules.origin import Constant, Origin
from analysis.comparison.rules.whole import Whole, WholeRows, at, mixed
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.comparison.results import Comparison

BETA, STRETCH, LEAST = 0.1, 10.0, 1e-3

ORIGIN = Origin(
    source=titled("align_distil") + " songmzhang/AlignDistil.",
    formula="reward = beta (ln p_B - ln p_A) at the text's token; weight w = beta2 sum |p_A - p_B| + 0.001; teacher: "
    "logits of B + w (logits of B - logits of A)",
    known="code read",
    note="The sum of absolute differences is twice the total variation, though the code calls it tvd. beta 0.1 and beta2 10 "
    "are those of one of its scripts, where A is a model trained with preferences turned round. Sides that were not "
    "trained so are a contrast of two models.",
    sides="A is the reference model, B the aligned one.",
    constants=(
        Constant("beta", "beta", BETA, 0.01, 1.0, 0.01, "", "code read"),
        Constant("stretch", "beta2", STRETCH, 0.0, 20.0, 0.5, "", "code read"),
    ),
)


def align_distil(
    c: Comparison, whole: Whole | None = None, beta: float = BETA, stretch: float = STRETCH
) -> Laid:
    """Reward of every token, and how far the teacher goes beyond B there.

    Parameters
    ----------
    c : Comparison
        Of a reference model and an aligned one.
    whole : Whole, optional
        Both sides' distributions: adds the teacher's surprisal.
    beta, stretch : float
        The rule's beta and beta2.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one.
    """
    rows = rows_of(c)
    there = rows.has_context
    reward = -beta * known(rows.surprisal_change, there)
    weight = stretch * 2 * known(rows.tv, there) + LEAST
    quantities = [Quantity("reward", "token reward", reward, 1), Quantity("weight", "weight w", weight)]
    if whole is not None:

        def measure(block: WholeRows, targets: Tensor) -> tuple[Tensor]:
            w = stretch * (block.p - block.q).abs().sum(-1, keepdim=True) + LEAST
            return (at(mixed(block, -w, 1 + w), targets),)

        (log_prob,) = whole.measured(1, measure)
        quantities.append(Quantity("teacher_surprisal", "surprisal of the teacher", -log_prob, 1))
    numbers = (
        Number("mean_reward", "mean reward", float(np.nanmean(reward)), 1),
        Number("mean_weight", "mean weight", float(np.nanmean(weight))),
    )
    return Laid(ORIGIN, tuple(quantities), reward > 0, "rewarded", numbers, limit=0.0)
