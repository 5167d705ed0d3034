"""How sure a share of right answers is, and the difference of two that share their pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Z = 1.959964
"""Half width of the middle 95 % of a normal distribution, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(right: float, n: int) -> Interval:
    """Estimate a share and its 95 % interval (Wilson 1927), which stays within 0 and 1.

    Parameters
    ----------
    right : float
        Successes; not a whole number where trials are means.
    n : int
        Trials.

    Returns
    -------
    Interval
        NaN throughout without a trial.
    """
    if n == 0:
        return Interval(np.nan, np.nan, np.nan)
    share = right / n
    middle = np.float64(share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = np.float64(Z) / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low, high = (float((middle + sign * half).clip(0, 1).round(12)) for sign in (-1, 1))
    return Interval(share, low, high)


def paired_difference(
    a: np.ndarray, b: np.ndarray, picture: np.ndarray, *, draws: int = 2000, seed: int = 0
) -> Interval:
    """Estimate how much better b is than a on the same questions, with a bootstrap over pictures.

    Questions about one picture share its fate, so pictures are drawn, each with all its questions.

    Parameters
    ----------
    a, b : numpy.ndarray
        (Q,) of bool or float: how well each question was answered.
    picture : numpy.ndarray
        (Q,): the picture of each question.
    draws : int, default 2000
    seed : int, default 0

    Returns
    -------
    Interval
        Mean of b - a over questions; the middle 95 % of the draws.
    """
    _, where = np.unique(picture, return_inverse=True)
    n = int(where.max()) + 1
    change = np.bincount(where, np.asarray(b, float) - np.asarray(a, float), n)
    asked = np.bincount(where, minlength=n)
    chosen = np.random.default_rng(seed).integers(0, n, (draws, n))
    means = change[chosen].sum(1) / asked[chosen].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(change.sum() / asked.sum()), float(low), float(high))
