"""Token-level direct preference optimisation (TDPO): reward of a text, and the divergence that it is held back by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity, known, rows_of
from analysis.comparison.rules.origin import Constant, Origin
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison

BETA, ALPHA = 0.1, 0.5

ORIGIN = Origin(
    source=titled("tdpo") + " As in songmzhang/AlignDistil.",
    formula="reward = beta (ln p_B - ln p_A) summed over the text; divergence = sum of KL(A || B), the reference first; "
    "its part in the margin of two texts: alpha times the difference of their divergences",
    known="code read",
    note="The loss compares a preferred text with another one; here one text is given, and both parts of its margin are "
    "shown. The code sums over the text, so a long text has more of either.",
    sides="A is the reference model, B the policy.",
    constants=(
        Constant("beta", "beta", BETA, 0.01, 1.0, 0.01, "", "code read"),
        Constant("alpha", "alpha", ALPHA, 0.0, 2.0, 0.1, "", "code read"),
    ),
)


def token_dpo(c: Comparison, beta: float = BETA, alpha: float = ALPHA) -> Laid:
    """Both parts of a text's margin, token by token.

    Parameters
    ----------
    c : Comparison
        Of a reference model and a policy.
    beta, alpha : float
        The rule's constants.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one.
    """
    rows = rows_of(c)
    there = rows.has_context
    reward = -beta * known(rows.surprisal_change, there)
    divergence = known(rows.kl_ab, there)
    held = beta * alpha * divergence
    numbers = (
        Number("reward", "reward of the text", float(np.nansum(reward)), 1),
        Number("divergence", "divergence of the text", float(np.nansum(divergence)), 1),
        Number("margin_part", "beta x alpha x divergence", float(np.nansum(held)), 1),
    )
    quantities = (
        Quantity("reward", "token reward", reward, 1),
        Quantity("divergence", "KL(A‖B)", divergence, 1),
        Quantity("margin_part", "beta x alpha x KL(A‖B)", held, 1),
    )
    return Laid(ORIGIN, quantities, reward > 0, "rewarded", numbers, limit=0.0)
