"""Intervals of numbers that stand in the order of a text, where each depends on those before it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
"""Of the intervals."""
_TOGETHER = 1 << 20
"""Values of the resampled texts that exist at a time."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""From samples (..., n) to a number for each, (...)."""


def block_length(n: int) -> int:
    """Neighbouring values that stay together: twice the cube root of their number, which grows as theory asks."""
    return min(n, max(1, round(2 * n ** (1 / 3))))


def resampled(n: int, seed: int = 0) -> np.ndarray:
    """Which of n values stand in every resampled text: blocks that begin anywhere, the last one joined to the first.

    Parameters
    ----------
    n : int
        Values in order.
    seed : int
        Of the draw.

    Returns
    -------
    numpy.ndarray of int32, shape (1000, n)

    References
    ----------
    Politis & Romano 1992 (circular block bootstrap), after Künsch 1989.
    """
    length = block_length(n)
    begins = np.random.default_rng(seed).integers(0, n, (RESAMPLES, -(-n // length)), dtype=np.int32)
    places = (begins[:, :, None] + np.arange(length, dtype=np.int32)) % n
    return places.reshape(RESAMPLES, -1)[:, :n]


def interval(values: np.ndarray, statistic: Statistic, draws: np.ndarray) -> tuple[float, float]:
    """Interval of a statistic: the middle 95 % of what it is over resampled texts.

    Parameters
    ----------
    values : numpy.ndarray, shape (n,) or (m, n)
        In the order of the text.
    statistic : callable
        From (..., n), or (m, ..., n), to a number for each.
    draws : numpy.ndarray, shape (R, n)
        From :func:`resampled`.
    """
    together = max(1, _TOGETHER // draws.shape[1])
    found = np.concatenate(
        [statistic(values[..., draws[i : i + together]]) for i in range(0, len(draws), together)]
    )
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
