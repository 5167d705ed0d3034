"""A correction by contrast with a weaker prompt, where the model is not sure: after USCD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity, known, rows_of
from analysis.comparison.rules.origin import Constant, Origin
from analysis.comparison.rules.whole import Whole, WholeRows, at, entropy_of, mixed
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.comparison.results import Comparison

ALPHA, GATE = 0.3, 0.5

ORIGIN = Origin(
    source=titled("uscd"),
    formula="spread = sqrt(V) times the standard deviation of p over the vocabulary (0 if flat, 1 if sure); where it is "
    "below the gate: logits of A - alpha x logits of B, normalised; elsewhere A",
    known="abstract only",
    note="USCD-like. From the abstract: the other prompt lacks the input-output examples, and the correction acts only where "
    "the model is not sure. A gate on the standard deviation is second hand; its scaling, its threshold and alpha are "
    "guesses of ours; towards 1 tokens decide that neither prompt expects. The text is given: the numbers say what the correction would do to each prediction.",
    sides="A has the whole prompt, B the one without its examples.",
    constants=(
        Constant("alpha", "alpha", ALPHA, 0.0, 1.0, 0.05),
        Constant("gate", "Correct below this spread", GATE, 0.0, 1.0, 0.05, "", "second hand"),
    ),
)


def contrast(c: Comparison, whole: Whole, alpha: float = ALPHA, gate: float = GATE) -> Laid:
    """Correct A's predictions by B's where A is not sure.

    Parameters
    ----------
    c : Comparison
        Of a prompt and a weaker one before the same text.
    whole : Whole
        Both sides' distributions.
    alpha : float
        Weight of B; at 0 nothing changes.
    gate : float
        In [0, 1]: the correction acts below this spread; at 0 nowhere.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one.
    """
    rows = rows_of(c)

    def measure(block: WholeRows, targets: Tensor) -> tuple[Tensor, ...]:
        n_ids = block.p.shape[-1]
        spread = ((block.p**2).sum(-1) - 1 / n_ids).clamp(min=0).sqrt()
        after = mixed(block, 1.0, -alpha)
        acts = spread < gate
        first = (after.argmax(-1) != block.log_p.argmax(-1)) & acts
        return spread, at(after, targets), entropy_of(after), first

    spread, log_prob, entropy, moved = whole.measured(4, measure)
    acts = spread < gate
    before = known(rows.surprisal_a, rows.has_context)
    surprisal = np.where(acts, -log_prob, before)
    change = surprisal - before
    numbers = (
        Number("corrected", "share corrected", float(acts[rows.has_context].mean())),
        Number("surprisal_change", "mean surprisal change", float(np.nanmean(change)), 1),
    )
    quantities = (
        Quantity("surprisal_change", "surprisal change by the correction", change, 1),
        Quantity("surprisal", "surprisal after it", surprisal, 1),
        Quantity(
            "entropy",
            "entropy after it",
            np.where(acts, entropy, known(rows.entropy_a, rows.has_context)),
            1,
        ),
        Quantity("spread", "spread of A", spread),
    )
    return Laid(ORIGIN, quantities, moved == 1, "another first choice", numbers)
