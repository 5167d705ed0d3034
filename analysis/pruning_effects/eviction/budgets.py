"""Budgets: how many tokens a share keeps. Integers, from one place."""

from __future__ import annotations

import math

import numpy as np

from analysis.errors import AnalysisError

_SLACK = 1e-9
"""So that 0.3 of 10 is 3 although 0.3 * 10 is a little less."""


def kept_count(n: int, kept: float) -> int:
    """Tokens that a share keeps: ``max(1, floor(n * kept))``.

    Parameters
    ----------
    n : int
        Tokens there are.
    kept : float
        Share kept, above 0 and at most 1.

    Raises
    ------
    AnalysisError
        If the share is not above 0 and at most 1.
    """
    if not 0 < kept <= 1:
        raise AnalysisError(
            f"A share of {kept:g} cannot be kept.", "Choose shares above 0 and up to 1; 1 keeps everything."
        )
    return max(1, math.floor(n * kept + _SLACK))


def equalised(wanted: np.ndarray, total: int, most: int) -> np.ndarray:
    """Budgets in the proportions wanted whose sum is exactly ``total``.

    Parameters
    ----------
    wanted : ndarray, shape (L,)
        Budgets as a method proposes them; all above 0.
    total : int
        The sum to reach, from L to L * ``most``.
    most : int
        Largest budget of one layer.

    Returns
    -------
    ndarray, int64, shape (L,)
        Each from 1 to ``most``; what is over after rounding down goes to the largest remainders.
    """
    if not len(wanted) <= total <= len(wanted) * most:
        raise ValueError(f"{len(wanted)} budgets from 1 to {most} cannot sum to {total}")
    free = np.ones(len(wanted), bool)
    exact = np.zeros(len(wanted))
    left = float(total)
    while free.any():  # clip what leaves the range and share the rest again
        share = wanted[free] * left / wanted[free].sum()
        inside = (share >= 1) & (share <= most)
        exact[free] = np.clip(share, 1, most)
        if inside.all():
            break
        over = share.sum() - exact[free].sum()
        settle = (share > most) if over >= 0 else (share < 1)
        if not settle.any():
            settle = ~inside
        places = np.flatnonzero(free)[settle]
        free[places] = False
        left = total - exact[~free].sum()
    budgets = np.floor(exact + _SLACK).astype(np.int64)
    order = np.argsort(-(exact - budgets), kind="stable")
    for place in order[: total - int(budgets.sum())]:
        budgets[place] += 1
    return budgets
