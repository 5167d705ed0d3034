"""Token rewards of an answer under two opposite prompts: after T-REG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity, answer_from, known, rows_of
from analysis.comparison.rules.origin import Constant, Origin
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison

ORIGIN = Origin(
    source=titled("t_reg"),
    formula="ratio = ln p_B - ln p_A at each token of the answer; reward = sigmoid(ratio) - 1/2",
    known="second hand",
    note="Opposite prompts are from the abstract, the log-ratio is second hand, and pressing it between -1/2 and 1/2 is a "
    "guess of ours. Training with it is left out.",
    sides="A has the prompt that asks for a worse answer, B the one that asks for a better one.",
    constants=(Constant("first", "First token of the answer", 0, 0, 100_000, 1, "tokens"),),
)


def token_rewards(c: Comparison, first: int = 0) -> Laid:
    """Reward of every token of an answer that stands behind two opposite prompts.

    Parameters
    ----------
    c : Comparison
        Of two prompts before one answer.
    first : int, default 0
        First token of A that is the answer's.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one, or none from ``first`` on.
    """
    there = answer_from(c, first)
    ratio = -known(rows_of(c).surprisal_change, there)
    reward = np.tanh(ratio / 2) / 2
    numbers = (
        Number("sum_ratio", "sum of log-ratios", float(np.nansum(ratio)), 1),
        Number("mean_reward", "mean reward", float(np.nanmean(reward))),
    )
    quantities = (
        Quantity("ratio", "log-ratio", ratio, 1),
        Quantity("reward", "token reward", reward),
    )
    return Laid(ORIGIN, quantities, ratio > 0, "rewarded", numbers, limit=0.0)
