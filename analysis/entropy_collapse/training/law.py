"""The exchange of entropy for reward: ``R = -a exp(H) + b``, fitted, doubted, and refused where it does not hold.

In the paper that states the law R is downstream performance, accuracy on held-out problems.
Here it is the reward of the log, unless a person names another column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from analysis.entropy_collapse.training.least_squares import Interval, Line, interval, resampled
from analysis.entropy_collapse.training.results import LARGEST_PER_TOKEN, TrainingCurve
from analysis.errors import AnalysisError

MIN_POINTS = 8
MIN_SPAN = 0.01
"""Nats that the entropy has to move by."""
MAX_POINTS = 5_000
"""Points beyond are thinned to every so many, each with its own value."""
LEVEL = 0.05
"""A shape is doubted when it would do this badly in fewer than this share of repetitions."""
CLOSE = 0.5
"""Fits that nowhere differ by this many standard deviations of the points around them are not told apart."""

Verdict = Literal["law", "undecided"]


class LawRefusedError(AnalysisError):
    """The data cannot carry the law; the message is the reason."""


@dataclass(frozen=True, eq=False)
class LawFit:
    """``R = -a exp(H) + b`` and, beside it, the straight line ``R = intercept + slope H``."""

    a: float
    """Reward per unit of exp(H), above 0."""
    b: float
    a_interval: Interval
    """95 % interval by bootstrap, as the other intervals."""
    b_interval: Interval
    ceiling_interval: Interval
    r2: float
    """Share of the reward's variance that the law explains."""
    slope: float
    """Of the straight line, reward per nat."""
    intercept: float
    line_r2: float
    verdict: Verdict
    """"law": a straight line is ruled out. "undecided": the data cannot tell the two apart."""
    line_chance: float
    """If the line were true: how often the law would fit as much better as here, or more."""
    law_chance: float
    """If the law were true: how often the line would do as well against it as here, or better."""
    entropy: np.ndarray
    """Nats, (n,): the points, in the order of steps."""
    reward: np.ndarray
    draws: np.ndarray
    """(n_boot, 2): a and b of every resample."""
    notes: tuple[str, ...] = ()

    @property
    def ceiling(self) -> float:
        """Reward at no entropy at all, ``b - a``."""
        return self.b - self.a

    @property
    def apart(self) -> float:
        """Largest difference of the two fits at any point, in units of the reward."""
        return float(np.abs(self.predict(self.entropy) - self.predict_line(self.entropy)).max())

    @property
    def scatter(self) -> float:
        """Standard deviation of the points around the law."""
        return float(
            np.sqrt(((self.reward - self.predict(self.entropy)) ** 2).sum() / (len(self.reward) - 2))
        )

    def predict(self, entropy: np.ndarray) -> np.ndarray:
        """Reward at an entropy in nats."""
        return self.b - self.a * np.exp(entropy)

    def predict_line(self, entropy: np.ndarray) -> np.ndarray:
        """Reward of the straight line at an entropy in nats."""
        return self.intercept + self.slope * np.asarray(entropy)

    def band(self, entropy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """95 % band of the law at each entropy, low and high."""
        rewards = self.draws[:, 1:] - self.draws[:, :1] * np.exp(entropy)
        low, high = np.percentile(rewards, [2.5, 97.5], axis=0)
        return low, high


@dataclass(frozen=True)
class Prediction:
    """The law fitted on the first part of a run, tried on the rest."""

    share: float
    n_fit: int
    """Points it was fitted on; the rest it never saw."""
    a: float
    b: float
    slope: float
    intercept: float
    rmse: float
    """Of the law on the rest, in units of the reward."""
    mean_error: float
    """Predicted minus measured; above 0: the law promised too much."""
    line_rmse: float
    """Of the straight line fitted on the same first part."""

    @property
    def ceiling(self) -> float:
        """Reward at no entropy that the first part promised."""
        return self.b - self.a


def fit_law(entropy: np.ndarray, reward: np.ndarray, *, n_boot: int = 1000, seed: int = 0) -> LawFit:
    """Fit the law by least squares on exp(H), and ask whether a straight line would do.

    Parameters
    ----------
    entropy, reward : array_like, shape (n,)
        Nats per token, and mean reward, in the order of steps. Pairs with a NaN are left out.
    n_boot : int
        Resamples behind every interval and chance.
    seed : int
        Of the resampling.

    Returns
    -------
    LawFit

    Raises
    ------
    LawRefusedError
        Under 8 points; entropy or reward that does not move; sums over sequences; reward
        that does not fall with entropy, or not surely; a straight line that fits better.

    Notes
    -----
    Steps resemble their neighbours, so residuals are resampled in blocks of about the cube
    root of n neighbours (see :mod:`analysis.entropy_collapse.training.least_squares`). The two shapes are
    compared by the difference D of their sums of squares: under either fit, resampled data
    tell how often D would come out as far on the other side as it did. A shape is ruled out
    where that is under 5 % and the fits differ by more than half a standard deviation of the
    points around them. Below about .3 nats exp(H) is so nearly straight that they hardly do.

    References
    ----------
    Cui et al. 2025, "The Entropy Mechanism of Reinforcement Learning for Reasoning Language
    Models", for the law. Deviation: their R is downstream performance on held-out problems,
    ours is the reward of the log, which may follow another law or none. The comparison is one of non-nested models (Cox 1962).
    """
    h, r, notes = _points(entropy, reward)
    x = np.exp(h)
    law, line = Line.of(x, r), Line.of(h, r)
    if law.slope >= 0:
        raise LawRefusedError(
            "Reward does not fall as entropy rises here.", "The law has nothing to describe in this run."
        )
    rng = np.random.default_rng(seed)
    ahead = line.rss - law.rss
    under_law, draws = resampled(law, line, law, n_boot, rng)
    under_line, _ = resampled(law, line, line, n_boot, rng)
    tie = 1e-9 * float(((r - r.mean()) ** 2).sum())
    law_chance = float((under_law <= ahead + tie).mean())
    line_chance = float((under_line >= ahead - tie).mean())
    scatter = np.sqrt(min(law.rss, line.rss) / (len(h) - 2))
    apart = bool(np.abs(law.fitted - line.fitted).max() > CLOSE * scatter)
    if apart and ahead < 0 and law_chance < LEVEL:
        raise LawRefusedError(
            f"A straight line in the entropy itself fits better (R² {line.r2:.3f} against {law.r2:.3f}).",
            "Reward is exchanged for entropy at a constant rate here, not as the law says.",
        )
    a, b = -draws[:, 1], draws[:, 0]
    own_a, own_b = -law.slope, law.intercept
    intervals = [interval(a, own_a), interval(b, own_b), interval(b - a, own_b - own_a)]
    if intervals[0][0] <= 0:
        raise LawRefusedError(
            "The data cannot tell the slope from none at all: its 95 % interval holds 0.",
            "Take more steps, or a run whose entropy falls further.",
        )
    verdict: Verdict = "law" if apart and ahead > 0 and line_chance < LEVEL else "undecided"
    return LawFit(
        a=own_a,
        b=own_b,
        a_interval=intervals[0],
        b_interval=intervals[1],
        ceiling_interval=intervals[2],
        r2=law.r2,
        slope=line.slope,
        intercept=line.intercept,
        line_r2=line.r2,
        verdict=verdict,
        line_chance=line_chance,
        law_chance=law_chance,
        entropy=h,
        reward=r,
        draws=np.stack([a, b], 1),
        notes=notes,
    )


def law_of(curve: TrainingCurve) -> LawFit:
    """Fit the law to a run, see :func:`fit_law`. R is the run's reward, not downstream performance as in the paper.

    Raises
    ------
    LawRefusedError
        As there, and where the logged entropy is a sum over sequences or no reward is logged.
    """
    if curve.meaning == "per sequence":
        raise LawRefusedError(
            f"{curve.chosen.get('entropy', 'The entropy')} is summed over each answer.",
            "The law is about the mean over tokens.",
        )
    if not curve.has("reward"):
        raise LawRefusedError("The run has no reward beside its entropy.", "Choose the column that holds it.")
    fit = fit_law(curve.entropy, curve.reward)
    if curve.meaning != "not known" and not curve.assumed:
        return fit
    note = "Nobody said what this entropy is: the law is about the mean over tokens, in nats."
    return replace(fit, notes=(*fit.notes, note))


def predict_rest(entropy: np.ndarray, reward: np.ndarray, *, share: float = 0.3) -> Prediction:
    """Fit on the first part of a run and predict the rest.

    Parameters
    ----------
    entropy, reward : array_like, shape (n,)
        As in :func:`fit_law`.
    share : float
        Share of the points to fit on, between 0 and 1.

    Raises
    ------
    LawRefusedError
        If the first part has under 8 points or cannot carry the law, or nothing is left.
    ValueError
        If the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    h, r, _ = _points(entropy, reward)
    n = round(share * len(h))
    if n < MIN_POINTS or n == len(h):
        raise LawRefusedError(
            f"The first {100 * share:.0f} % are {n} of {len(h)} points.", f"Fit on {MIN_POINTS} or more."
        )
    try:
        _points(h[:n], r[:n])
    except LawRefusedError as error:
        raise LawRefusedError(f"In the first part: {error.message}", error.hint) from None
    law, line = Line.of(np.exp(h[:n]), r[:n]), Line.of(h[:n], r[:n])
    if law.slope >= 0:
        raise LawRefusedError("In the first part reward does not fall as entropy rises.", "Fit on more.")
    wrong = law.at(np.exp(h[n:])) - r[n:]
    line_wrong = line.at(h[n:]) - r[n:]
    return Prediction(
        share=share,
        n_fit=n,
        a=-law.slope,
        b=law.intercept,
        slope=line.slope,
        intercept=line.intercept,
        rmse=float(np.sqrt((wrong**2).mean())),
        mean_error=float(wrong.mean()),
        line_rmse=float(np.sqrt((line_wrong**2).mean())),
    )


def _points(entropy: np.ndarray, reward: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Finite pairs, thinned if very many; refused if they cannot carry a fit."""
    h, r = np.asarray(entropy, float), np.asarray(reward, float)
    known = np.isfinite(h) & np.isfinite(r)
    h, r = h[known], r[known]
    if len(h) < MIN_POINTS:
        raise LawRefusedError(
            f"{len(h)} steps have both an entropy and a reward.", f"The law needs {MIN_POINTS} or more."
        )
    if h.max() > LARGEST_PER_TOKEN:
        raise LawRefusedError(
            f"Entropies up to {h.max():.3g} nats are sums over sequences, not means over tokens.",
            "Choose a column with the mean over tokens.",
        )
    if np.ptp(h) < MIN_SPAN:
        raise LawRefusedError(f"Entropy moves by {np.ptp(h):.2g} nats only.", "Take a run in which it falls.")
    if np.ptp(r) <= 1e-9 * max(1.0, float(np.abs(r).max())):
        raise LawRefusedError("The reward is constant.", "Take a run in which it changes.")
    every = -(-len(h) // MAX_POINTS)
    note = (f"Fitted on every {every}th point.",) if every > 1 else ()
    return h[::every], r[::every], note
