"""Steps put in order: one row each, whatever a run that stopped and went on has written."""

from __future__ import annotations

import numpy as np


def in_order(step: np.ndarray) -> tuple[np.ndarray, int]:
    """Rows in the order of steps, one per step, and how often the log began again.

    A log that goes back and repeats steps was resumed or restarted: what it had written
    at or after the step it went back to is left out, as TensorBoard does. A log that is
    only out of order is sorted. Of neighbours with the same step the last stays.

    Parameters
    ----------
    step : numpy.ndarray, shape (n,)
        Steps in the order of the file, none of them NaN.

    Returns
    -------
    numpy.ndarray of int
        The rows that stay.
    int
        How often the steps went back.
    """
    rows = np.arange(len(step))
    if len(step) < 2 or (np.diff(step) > 0).all():
        return rows, 0
    back = int((np.diff(step) < 0).sum())
    if back and len(np.unique(step)) < len(step):
        lowest_after = np.minimum.accumulate(step[::-1])[::-1]
        return rows[np.append(step[:-1] < lowest_after[1:], True)], back
    rows = np.argsort(step, kind="stable")
    return rows[np.append(np.diff(step[rows]) > 0, True)], 0
