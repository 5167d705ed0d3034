"""Filling a budget: as many units as fit, counted in tokens of the shorter text itself.

A tokenizer cuts a shorter text anew, so tokens of a mask and tokens of the text it makes
are two numbers. Methods are compared at equal tokens of the second kind, what a model
really reads: each takes as much of its ranking as stays within the same budget.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_LOOKAHEAD = 8
"""Sizes looked at beyond the first that is too large: a longer text may have fewer tokens."""
_TRIES = 48
"""Units further down a ranking that are tried for the tokens still free."""

Choose = Callable[[int], np.ndarray]
"""Which units a method keeps when it may keep so many: count -> bool (U,)."""
Size = Callable[[np.ndarray], int]
"""Tokens of the text that a choice makes: bool (U,) -> int."""


def ranking(
    values: np.ndarray, *, seed: int | None = None, preferred: np.ndarray | None = None
) -> np.ndarray:
    """Units from the one to keep first to the one to drop first.

    Parameters
    ----------
    values : numpy.ndarray, shape (U,)
        Higher is kept first. NaN, "not measured", comes before all others: nothing is known
        that would allow to drop it.
    seed : int, optional
        Shuffles units of equal value; without it the earlier one comes first.
    preferred : numpy.ndarray of bool, shape (U,), optional
        These come before all others.

    Returns
    -------
    numpy.ndarray, int64, shape (U,)
    """
    n = len(values)
    tie = np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)
    first = np.zeros(n, bool) if preferred is None else preferred
    known = np.where(np.isnan(values), np.inf, values)
    return np.lexsort((tie, -known, ~first))


def top(order: np.ndarray) -> Choose:
    """Choose the first units of a ranking."""

    def choose(count: int) -> np.ndarray:
        keep = np.zeros(len(order), bool)
        keep[order[:count]] = True
        return keep

    return choose


def spread(n_units: int) -> Choose:
    """Choose units at equal distances."""

    def choose(count: int) -> np.ndarray:
        keep = np.zeros(n_units, bool)
        if count:
            keep[((np.arange(count) + 0.5) * n_units / count).astype(int)] = True
        return keep

    return choose


def fit(
    choose: Choose, n_units: int, budget: int, size: Size, order: np.ndarray | None = None
) -> np.ndarray | None:
    """The largest choice whose text has at most ``budget`` tokens.

    Parameters
    ----------
    choose : callable
        Which units to keep for a given number of them.
    n_units : int
        How many units there are.
    budget : int
        Tokens that the text may have.
    size : callable
        Tokens of the text of a choice.
    order : numpy.ndarray, shape (U,), optional
        The ranking: units further down it fill what a unit that is too long left free.

    Returns
    -------
    numpy.ndarray of bool, shape (U,), or None
        None if not a single unit fits.
    """
    everything = choose(n_units)
    if size(everything) <= budget:
        return everything
    low, high = 0, n_units
    while high - low > 1:
        middle = (low + high) // 2
        if size(choose(middle)) <= budget:
            low = middle
        else:
            high = middle
    used = size(choose(low)) if low else 0
    for count in range(high + 1, min(high + _LOOKAHEAD, n_units) + 1):
        if used < budget and (more := size(choose(count))) <= budget and more > used:
            low, used = count, more
    keep = choose(low)
    for unit in order[low : low + _TRIES] if order is not None else ():
        if used >= budget:
            break
        keep[unit] = True
        if (more := size(keep)) <= budget:
            used = max(used, more)
        else:
            keep[unit] = False
    return keep if keep.any() else None
