"""TIP: tokens by the student's entropy and by its divergence from a teacher, in four quadrants."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity, known, rows_of
from analysis.comparison.rules.origin import Constant, Origin
from analysis.errors import AnalysisError
from analysis.papers.citations import titled
from analysis.units import from_nats

if TYPE_CHECKING:
    import pandas as pd

    from analysis.comparison.results import Comparison

CUT_ENTROPY, CUT_DIVERGENCE = 0.2, 0.1
POWER_ENTROPY, POWER_DIVERGENCE = 1.0, 1.0
_LEAST = 1e-8
"""Both shares are at least this before they are raised to a power, as in the code."""
QUADRANTS = {
    1: "unsure, and far from B",
    2: "unsure, and near to B",
    3: "sure, and far from B",
    4: "sure, and near to B",
}
"""Names of the quadrants by their numbers; 3 is where a student is sure and wrong, if the teacher is right."""

ORIGIN = Origin(
    source=titled("tip") + " HJSang/OPSD_OnPolicyDistillation.",
    formula="h = H(student) / ln V, d = JSD / ln 2, weight h^a d^g; quadrants: 1 h and d high, 2 h high, 3 d high, 4 both low",
    known="code read",
    note="The paper scores what the student wrote itself; here the text is given. Where the quadrants are cut was not "
    "found: the fixed cuts are ours. Cuts at the medians make the quadrants 1 and 4 equally large, and 2 and 3, "
    "whatever the sides are, so their shares say nothing.",
    sides="A is the student, B the teacher.",
    constants=(
        Constant("cut_entropy", "h is high from", CUT_ENTROPY, 0.0, 1.0, 0.01),
        Constant("cut_divergence", "d is high from", CUT_DIVERGENCE, 0.0, 1.0, 0.01),
        Constant("power_entropy", "Power a of h", POWER_ENTROPY, 0.0, 4.0, 0.25, "", "code read"),
        Constant("power_divergence", "Power g of d", POWER_DIVERGENCE, 0.0, 4.0, 0.25, "", "code read"),
    ),
)


@dataclass(frozen=True, eq=False)
class Quadrants:
    """Entropy and divergence of every token, as shares of their largest values, and the quadrant."""

    entropy: np.ndarray
    """float64, (n,), in [0, 1]: the student's; NaN without context."""
    divergence: np.ndarray
    """float64, (n,), in [0, 1]: Jensen-Shannon divergence from the teacher; NaN without context."""
    quadrant: np.ndarray
    """int8, (n,): 1 to 4; 0 without context."""
    weight: np.ndarray
    """float64, (n,), in [0, 1]."""
    cut_entropy: float
    cut_divergence: float
    medians: bool
    """Whether the cuts are this text's medians."""
    origin: Origin = ORIGIN

    @property
    def shares(self) -> dict[int, float]:
        """Share of the tokens with context in each quadrant."""
        n = (self.quadrant > 0).sum()
        return {q: float((self.quadrant == q).sum() / n) for q in QUADRANTS}

    @property
    def laid(self) -> Laid:
        """The quadrants laid over the text; those of quadrant 3 are marked."""
        shares = tuple(Number(f"q{q}", f"{q} {QUADRANTS[q]}", share) for q, share in self.shares.items())
        quantities = (
            Quantity("weight", "weight", self.weight),
            Quantity("student_entropy", "h", self.entropy),
            Quantity("divergence", "d", self.divergence),
            Quantity("quadrant", "quadrant", np.where(self.quadrant, self.quadrant, np.nan).astype(float)),
        )
        return Laid(self.origin, quantities, self.quadrant == 3, "sure, and far from B", shares)

    def to_frame(self) -> pd.DataFrame:
        """One row per pair."""
        import pandas as pd

        columns = {"h": self.entropy, "d": self.divergence, "weight": self.weight, "quadrant": self.quadrant}
        return pd.DataFrame(columns)


def quadrants(
    c: Comparison,
    cut_entropy: float = CUT_ENTROPY,
    cut_divergence: float = CUT_DIVERGENCE,
    *,
    medians: bool = False,
    power_entropy: float = POWER_ENTROPY,
    power_divergence: float = POWER_DIVERGENCE,
) -> Quadrants:
    """Sort tokens by the entropy of A, the student, and its divergence from B, the teacher.

    Parameters
    ----------
    c : Comparison
        Of a student and a teacher on one text.
    cut_entropy, cut_divergence : float
        From where on a share is high.
    medians : bool, default False
        Cut at the medians of this text instead; the shares of the quadrants then say nothing.
    power_entropy, power_divergence : float
        Exponents of the weight.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one.
    """
    rows = rows_of(c)
    there = rows.has_context
    h = known(rows.entropy_a, there) / log(c.a.spec.vocab_size)
    d = np.asarray(from_nats(known(rows.jsd, there), "bits"))
    if medians:
        cut_entropy, cut_divergence = float(np.median(h[there])), float(np.median(d[there]))
    elif not (0 <= cut_entropy <= 1 and 0 <= cut_divergence <= 1):
        raise AnalysisError("A cut is a share from 0 to 1.", "Choose one from 0 to 1.")
    unsure, far = h >= cut_entropy, d >= cut_divergence
    quadrant = np.where(unsure, np.where(far, 1, 2), np.where(far, 3, 4)).astype(np.int8)
    quadrant[~there] = 0
    weight = np.maximum(h, _LEAST) ** power_entropy * np.maximum(d, _LEAST) ** power_divergence
    return Quadrants(h, d, quadrant, weight, cut_entropy, cut_divergence, medians)
