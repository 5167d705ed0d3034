"""What sampled tokens alone say of two distributions: estimates of a divergence, and importance weights.

For where the whole distributions are not at hand, as in a file of a rollout. ``x = ln q - ln p`` of tokens that were
drawn from p. With both heads at hand the full sum has no sampling error: see :mod:`.two_heads`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError

SEQUENCE_LIMIT = 20.0
"""nats: log-ratios of whole sequences are cut to within this, as verl does."""
_SMALL = 0.05


@dataclass(frozen=True)
class Estimate:
    """A mean over samples and how sure it is."""

    mean: float
    standard_error: float
    """Of the mean, if the samples are independent, which tokens of one text are not; NaN for one sample."""
    n: int


def estimate(values: np.ndarray) -> Estimate:
    """Mean of samples with its standard error; what is not a number is left out.

    Raises
    ------
    AnalysisError
        If there are none.
    """
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        raise AnalysisError("There are no log-probabilities to compare.", "Give a file with some.")
    error = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else float("nan")
    return Estimate(float(known.mean()), error, len(known))


def k1(log_ratio: np.ndarray) -> np.ndarray:
    """``-x`` per token, nats: its mean over p is KL(p || q), and single ones have any sign."""
    return -np.asarray(log_ratio, np.float64)


def k2(log_ratio: np.ndarray) -> np.ndarray:
    """``x² / 2`` per token, nats: never negative, but biased; its mean over p is KL(p || q) only to second order."""
    return np.asarray(log_ratio, np.float64) ** 2 / 2


def k3(log_ratio: np.ndarray) -> np.ndarray:
    """``e^x - 1 - x`` per token, nats: never negative, and its mean over p is KL(p || q).

    Not always the calmer one: where q is far above p on a few tokens it scatters more than k1. Source: J. Schulman,
    "Approximating KL divergence" (2020).
    """
    x = np.asarray(log_ratio, np.float64)
    near = np.where(np.abs(x) < _SMALL, x, 0.0)
    series = near**2 * (1 / 2 + near * (1 / 6 + near * (1 / 24 + near * (1 / 120 + near / 720))))
    with np.errstate(over="ignore"):
        return np.where(np.abs(x) < _SMALL, series, np.expm1(x) - x)


def importance(log_ratio: np.ndarray, cap: float | None = None) -> np.ndarray:
    """Importance weights ``q / p = e^x``.

    Parameters
    ----------
    log_ratio : numpy.ndarray
        x of each token, or of each sequence.
    cap : float, optional
        Larger weights are cut to it, as trainers do.
    """
    with np.errstate(over="ignore"):
        weights = np.exp(np.asarray(log_ratio, np.float64))
    return weights if cap is None else np.minimum(weights, cap)


def effective_share(log_ratio: np.ndarray, cap: float | None = None) -> float:
    """Effective sample size as a share of the sample, ``(mean w)² / mean w²``: 1 if all weights are equal.

    Parameters
    ----------
    log_ratio : numpy.ndarray
        x of each token, or of each sequence; what is not a number is left out.
    cap : float, optional
        Weights are cut to it before: that flatters the share.
    """
    x = np.asarray(log_ratio, np.float64)
    x = x[~np.isnan(x)]
    if cap is not None:
        x = np.minimum(x, np.log(cap))
    weights = np.exp(x - x.max())  # a common factor drops out
    return float(weights.mean() ** 2 / (weights**2).mean())


def chi_squared(log_ratio: np.ndarray) -> float:
    """``mean w² - 1``: estimates the chi-squared divergence, E over p of (q/p)² less 1. Few large weights decide it."""
    return float(np.nanmean(importance(log_ratio) ** 2) - 1)


def of_sequences(log_ratio: np.ndarray, lengths: np.ndarray, limit: float = SEQUENCE_LIMIT) -> np.ndarray:
    """Log-ratio of each whole sequence: the sum over its tokens, cut to within a limit.

    Parameters
    ----------
    log_ratio : numpy.ndarray, shape (N,)
        x of all tokens, sequence after sequence.
    lengths : numpy.ndarray of int, shape (S,)
        Tokens of each, which add up to N; 0 for none.
    limit : float
        nats.

    Returns
    -------
    numpy.ndarray, shape (S,), float64
    """
    x, ends = np.asarray(log_ratio, np.float64), np.cumsum(np.asarray(lengths, np.int64))
    if (ends[-1] if len(ends) else 0) != len(x):
        raise AnalysisError("The lengths do not add up to the number of tokens.", "Give one per sequence.")
    sums = [x[end - n : end].sum() for end, n in zip(ends, lengths, strict=True)]
    return np.clip(np.array(sums, np.float64), -limit, limit)
