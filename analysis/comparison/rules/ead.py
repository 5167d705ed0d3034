"""Entropy-adaptive decoding (EAD): the large model writes while the mean entropy of the last tokens is above a threshold."""

from __future__ import annotations

import numpy as np

from analysis.comparison.rules.origin import Constant, Origin
from analysis.papers.citations import titled

THRESHOLD, WINDOW, DWELL = 3.0, 5, 1

ORIGIN = Origin(
    source=titled("ead"),
    formula="mean of H over the last w tokens, in bits; large if above the threshold, small if not, and only d_min tokens "
    "after the last switch",
    known="second hand",
    note="No code was found. Threshold and d_min are swept here, as the paper's values are not known. It begins with the "
    "small model, and no switch has to be waited for before the first one. Which model's entropy counts while the large "
    "one writes was not found: here the small one's, at every token. The text is given, so nothing is written: the loss "
    "is that of the model that would have written each token.",
    sides="A is the small model, B the large one.",
    constants=(
        Constant("threshold", "Threshold", THRESHOLD, 0.0, 10.0, 0.1, "bits"),
        Constant("window", "Tokens in the mean", WINDOW, 1, 50, 1, "tokens", "second hand"),
        Constant("d_min", "Tokens before the next switch", DWELL, 1, 50, 1, "tokens"),
    ),
)


def recent_mean(entropy: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Mean of each token's entropy and of those before it.

    Parameters
    ----------
    entropy : numpy.ndarray, shape (n,)
        NaN where there is none: such a token is passed over.
    window : int, default 5
        Tokens in a mean; fewer at the beginning.

    Returns
    -------
    numpy.ndarray, shape (n,)
        float64, in the unit of ``entropy``; NaN where that is.
    """
    out = np.full(len(entropy), np.nan)
    there = np.flatnonzero(~np.isnan(entropy))
    sums = np.concatenate([[0.0], np.cumsum(entropy[there], dtype=np.float64)])
    count = np.arange(1, len(there) + 1)
    begin = np.maximum(count - window, 0)
    out[there] = (sums[count] - sums[begin]) / (count - begin)
    return out


def routed(mean: np.ndarray, threshold: float, d_min: int = DWELL) -> np.ndarray:
    """Which tokens the large model would write.

    Parameters
    ----------
    mean : numpy.ndarray, shape (n,)
        From :func:`recent_mean`; NaN where there is no entropy.
    threshold : float
        In the unit of ``mean``.
    d_min : int, default 1
        Tokens that a model writes at least.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        False where there is no entropy.
    """
    out = np.zeros(len(mean), bool)
    large, since = False, d_min
    for t in np.flatnonzero(~np.isnan(mean)):
        wanted = bool(mean[t] > threshold)
        if wanted != large and since >= d_min:
            large, since = wanted, 0
        since += 1
        out[t] = large
    return out
