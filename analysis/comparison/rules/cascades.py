"""Cascades: a small model answers, and the texts it is least sure of are deferred to a large one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Curve, Line
from analysis.comparison.rules.origin import Constant, Origin
from analysis.errors import AnalysisError
from analysis.papers.citations import titled

if TYPE_CHECKING:
    import pandas as pd

    from analysis.comparison.results import Comparison

FEWEST = 30
"""Texts that a deferral curve takes."""
QUANTILES = tuple(round(0.1 * i, 1) for i in range(11))
SUM, AVERAGE = "Chow-Sum", "Chow-Average"

ORIGIN = Origin(
    source=titled("cascades"),
    formula="score of a text from its surprisals s under A: their sum (Chow-Sum), their mean (Chow-Average), or their "
    "quantile at alpha; texts with the highest score are deferred",
    known="second hand",
    note="Quality is ours: mean surprisal per byte, each text's by the model that keeps it, where the paper has the "
    "quality of written answers. The text is given. The learned rule of the paper is not here. A curve of fewer than "
    f"{FEWEST} texts would be chance.",
    sides="A is the small model, B the large one.",
    constants=(Constant("alpha", "Quantile", 0.8, 0.0, 1.0, 0.1, "", "second hand"),),
)


def scores(surprisal: np.ndarray, quantiles: Sequence[float] = QUANTILES) -> dict[str, float]:
    """What a cascade may defer a text by, from the small model's surprisals; higher is less sure.

    Parameters
    ----------
    surprisal : numpy.ndarray, shape (n,)
        nats; NaN is passed over.
    quantiles : sequence of float
        At 0 the surest token, at 1 the most surprising one; between two tokens by interpolation.

    Returns
    -------
    dict
        nats, by the rule's name: "Chow-Sum", "Chow-Average", "quantile 0.0" and so on.

    Raises
    ------
    AnalysisError
        If no token was predicted.
    """
    there = surprisal[~np.isnan(surprisal)].astype(np.float64)
    if not len(there):
        raise AnalysisError("No token of a text was predicted.", "Take texts of two tokens or more.")
    at = np.quantile(there, list(quantiles))
    found = {name_of(q): float(v) for q, v in zip(quantiles, at, strict=True)}
    return {SUM: float(there.sum()), AVERAGE: float(there.mean()), **found}


def name_of(quantile: float) -> str:
    """Name of the rule that defers by a quantile."""
    return f"quantile {quantile:.1f}"


@dataclass(frozen=True, eq=False)
class DeferralCurve:
    """Loss of a cascade of two models over N texts, by how many are deferred."""

    small: np.ndarray
    """float64, (N,), nats per byte: surprisal of the small model on each text."""
    large: np.ndarray
    """float64, (N,), nats per byte."""
    scores: dict[str, np.ndarray]
    """float64, (N,), nats, by the rule's name."""
    origin: Origin = ORIGIN

    @property
    def share(self) -> np.ndarray:
        """float64, (N + 1,): share of the texts that are deferred."""
        n = len(self.small)
        return np.arange(n + 1) / n

    def loss(self, rule: str) -> np.ndarray:
        """float64, (N + 1,), nats per byte: mean over texts with none, one, ... all of them deferred, least sure first."""
        return self._loss(self.scores[rule])

    @property
    def best(self) -> np.ndarray:
        """The same if the texts that gain most were deferred first."""
        return self._loss(self.small - self.large)

    def _loss(self, score: np.ndarray) -> np.ndarray:
        order = np.argsort(-score, kind="stable")
        gain = (self.large - self.small)[order]
        return (self.small.sum() + np.concatenate([[0.0], np.cumsum(gain)])) / len(self.small)

    def gained(self, rule: str) -> float:
        """Mean loss below that of random deferral, as a share of what the best order is below it; NaN where none is."""
        chance = self.small.mean() + self.share * (self.large.mean() - self.small.mean())
        most = float((chance - self.best).mean())
        return float((chance - self.loss(rule)).mean()) / most if most > 0 else float("nan")

    def curve(self, *rules: str) -> Curve:
        """Loss over share deferred, for some rules, with a random order and the best one beside them."""
        chosen = rules or (SUM, AVERAGE)
        ends = np.array([self.small.mean(), self.large.mean()])
        lines = [Line(rule, self.share, self.loss(rule)) for rule in chosen]
        lines += [Line("random order", np.array([0.0, 1.0]), ends), Line("best order", self.share, self.best)]
        return Curve("share of texts deferred", "mean surprisal per byte", tuple(lines), y_power=1)

    def to_frame(self) -> pd.DataFrame:
        """One row per text: both losses and every score, in nats."""
        import pandas as pd

        columns = {"small_nats_per_byte": self.small, "large_nats_per_byte": self.large, **self.scores}
        return pd.DataFrame(columns)


def deferral_curve(
    cs: Sequence[Comparison], quantiles: Sequence[float] = QUANTILES, *, at_least: int = FEWEST
) -> DeferralCurve:
    """Deferral curve over texts, each compared on A, the small model, and B, the large one.

    Parameters
    ----------
    cs : sequence of Comparison
        One per text, 30 or more; the vocabularies may differ.
    quantiles : sequence of float
        Of the rules by quantiles.
    at_least : int, default 30
        Fewest texts.

    Raises
    ------
    AnalysisError
        If there are too few texts, or one has no span that both sides predicted.

    Notes
    -----
    Scores are of A's tokens that B has too, losses of the spans that both sides predicted.
    """
    if len(cs) < at_least:
        raise AnalysisError(
            f"A deferral curve takes {at_least} texts or more; these are {len(cs)}.", "Compare more texts."
        )
    small, large, found = [], [], []
    for c in cs:
        there = c.spans.has_context
        if not there.any():
            raise AnalysisError("A text has no span that both sides predicted.", "Leave it out.")
        n_bytes = float(c.spans.n_bytes[there].sum())
        small.append(float(c.spans.surprisal_a[there].sum()) / n_bytes)
        large.append(float(c.spans.surprisal_b[there].sum()) / n_bytes)
        seen = np.isin(c.alignment.span_a, np.flatnonzero(there))
        found.append(scores(c.a.tokens.surprisal[seen], quantiles))
    by_rule = {name: np.array([one[name] for one in found]) for name in found[0]}
    return DeferralCurve(np.array(small), np.array(large), by_rule)
