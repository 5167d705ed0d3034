"""Measures on the numbers of a run: forking tokens, windows, thresholds, summaries.

Numpy only. Everything in nats; entry t speaks about token t; NaN is "no context".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.results.tokens import TokenTrace, printable

FORKING_SHARE = 0.2
"""Share of tokens called forking, after "Beyond the 80/20 Rule" (Wang et al. 2025)."""


@dataclass(frozen=True)
class Summary:
    """The numbers at the head of the page. Information in nats unless the name says bits."""

    n_tokens: int
    n_predicted: int
    """Tokens that had a context."""
    perplexity: float
    """exp(mean surprisal)."""
    bits_per_byte: float
    """Total surprisal in bits over the UTF-8 bytes of the predicted tokens; NaN without bytes."""
    mean_surprisal: float
    mean_entropy: float
    excess: float
    """Mean surprisal minus mean entropy: the text surprised the model more (+) or less (-)
    than the model itself expected. About 0 for text sampled from the model."""


def summary(tokens: TokenTrace) -> Summary:
    """Whole-text numbers over the tokens that had a context.

    Notes
    -----
    ``perplexity = exp(mean s)``, ``bits_per_byte = sum s / (ln 2 * bytes)``, ``excess =
    mean s - mean H``: the same as log-perplexity minus entropy.
    """
    known = tokens.has_context
    surprisal = tokens.surprisal[known].astype(np.float64)
    entropy = tokens.entropy[known].astype(np.float64)
    n_bytes = int(tokens.n_bytes[known].sum())
    return Summary(
        n_tokens=len(tokens),
        n_predicted=int(known.sum()),
        perplexity=float(np.exp(surprisal.mean())),
        bits_per_byte=float(surprisal.sum() / np.log(2) / n_bytes) if n_bytes else float("nan"),
        mean_surprisal=float(surprisal.mean()),
        mean_entropy=float(entropy.mean()),
        excess=float(surprisal.mean() - entropy.mean()),
    )


def forking_tokens(entropy: np.ndarray, share: float = FORKING_SHARE) -> np.ndarray:
    """Mark the most uncertain positions of a text.

    Parameters
    ----------
    entropy : numpy.ndarray, shape (T,)
        NaN entries are never marked.
    share : float in (0, 1]
        Share of the predicted tokens to mark.

    Returns
    -------
    numpy.ndarray of bool, shape (T,)
        Exactly ``ceil(share * n)`` of the n predicted tokens, highest entropy first;
        of equal ones the earlier.

    References
    ----------
    Wang et al. 2025, arXiv:2506.01939.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {share}")
    known = np.flatnonzero(~np.isnan(entropy))
    count = int(np.ceil(round(share * len(known), 9)))
    order = known[np.argsort(-entropy[known], kind="stable")]
    marked = np.zeros(len(entropy), dtype=bool)
    marked[order[:count]] = True
    return marked


def window_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean of each run of ``width`` values, at its first position.

    Returns
    -------
    numpy.ndarray, shape (T,)
        Entry t averages t..t+width-1; NaN where the window is incomplete or holds a NaN.
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    out = np.full(len(values), np.nan)
    if len(values) >= width:
        views = np.lib.stride_tricks.sliding_window_view(values.astype(np.float64), width)
        out[: len(views)] = views.mean(-1)
    return out


def high_entropy_windows(
    entropy: np.ndarray, width: int = 4, percentile: float = 95
) -> tuple[np.ndarray, float]:
    """Find stretches where the model stays uncertain.

    Parameters
    ----------
    entropy : numpy.ndarray, shape (T,)
        Nats.
    width : int, default 4
        Tokens per window.
    percentile : float, default 95
        Windows whose mean is at or above this percentile of all windows of the text.

    Returns
    -------
    tuple of (numpy.ndarray of bool, float)
        Tokens that lie in such a window, and the threshold in nats (NaN if no window
        is complete).

    References
    ----------
    Window width and percentile are those of ARES (Chen et al. 2025) and its scripts. Its windows are others: the
    tokens right after a word of a list, and only those count. Its threshold is a moving mean over training
    of each answer's percentile, its entropies are those of the ten most probable tokens with one term for all
    the rest. Here every stretch of the text is a window, the threshold is this text's, and entropies are exact.
    """
    means = window_mean(entropy, width)
    inside = np.zeros(len(entropy), dtype=bool)
    if np.isnan(means).all():
        return inside, float("nan")
    threshold = float(np.nanpercentile(means, percentile))
    for begin in np.flatnonzero(means >= threshold):
        inside[begin : begin + width] = True
    return inside, threshold


TRIGGER_WINDOW, TRIGGER_FACTOR, TRIGGER_FLOOR = 25, 4.0, 1.8
"""Tokens before, standard deviations, and nats: SRGen's trigger rule as its scripts set it."""


def moving_threshold(
    entropy: np.ndarray,
    window: int = TRIGGER_WINDOW,
    factor: float = TRIGGER_FACTOR,
    floor: float = TRIGGER_FLOOR,
) -> np.ndarray:
    """Threshold that follows the text: what counts as a jump in entropy here.

    Parameters
    ----------
    entropy : numpy.ndarray, shape (T,)
        Nats.
    window : int, default 25
        Tokens before t that set the threshold at t.
    factor : float, default 4
        Standard deviations above their mean.
    floor : float, default 1.8
        The threshold is never below this, in nats.

    Returns
    -------
    numpy.ndarray, shape (T,)
        ``max(mean + factor * max(std, 0.5), floor)`` over the last ``window`` values
        before t; NaN until a full window has been seen.

    References
    ----------
    SRGen (Mu et al. 2025, arXiv:2510.02919), trigger rule with the settings of its scripts. Different here: the population
    standard deviation, where its code takes the sample one (2 % larger for 25 tokens); all tokens of a
    text, where it watches tokens that it writes itself, by their entropy at its own temperature (0.6); and
    no threshold before a full window, where its code has a fixed one of 3 nats.
    """
    out = np.full(len(entropy), np.nan)
    if len(entropy) > window:
        views = np.lib.stride_tricks.sliding_window_view(entropy.astype(np.float64), window)[:-1]
        out[window:] = np.maximum(views.mean(-1) + factor * np.maximum(views.std(-1), 0.5), floor)
    return out


def triggers(entropy: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Tokens before which the entropy is above the threshold, bool, (T,); False where either is NaN.

    References
    ----------
    Where SRGen would stop and correct the state before it goes on, see :func:`moving_threshold`; nothing is
    corrected here, so the tokens after a trigger are the text's own.
    """
    return np.asarray(entropy.astype(np.float64) > threshold)


ENTROPY_LOW, ENTROPY_MEDIUM, ENTROPY_HIGH = 0.3, 1.2, 2.5
"""nats, as in entropix."""
VARENTROPY_LOW, VARENTROPY_HIGH = 1.2, 2.5
"""nats squared, as in entropix."""


def quadrants(entropy: np.ndarray, varentropy: np.ndarray) -> np.ndarray:
    """Class of each token by entropy and varentropy.

    Returns
    -------
    numpy.ndarray of str, shape (T,)
        "sure" (both low), "spread" (entropy high, varentropy low), "torn" (entropy not
        high, varentropy high), "lost" (both high), "between" (none of these), "" for NaN.

    References
    ----------
    Thresholds of entropix in nats; its code calls everything else "sure", here it is
    "between".
    """
    names = np.full(len(entropy), "between", dtype="<U7")
    names[(entropy < ENTROPY_LOW) & (varentropy < VARENTROPY_LOW)] = "sure"
    names[(entropy > ENTROPY_HIGH) & (varentropy < VARENTROPY_LOW)] = "spread"
    names[(entropy < ENTROPY_HIGH) & (varentropy > VARENTROPY_HIGH)] = "torn"
    names[(entropy > ENTROPY_MEDIUM) & (varentropy > VARENTROPY_HIGH)] = "lost"
    names[np.isnan(entropy)] = ""
    return names


def percentile_of(values: np.ndarray, index: int) -> float:
    """Share of the other known values that lie below value ``index``, 0 to 100; NaN if it is NaN."""
    value = values[index]
    others = np.delete(values, index)
    others = others[~np.isnan(others)]
    if np.isnan(value) or not len(others):
        return float("nan")
    return float(100 * ((others < value).mean() + (others == value).mean() / 2))


def by_token(tokens: TokenTrace) -> pd.DataFrame:
    """Mean entropy and surprisal per token string, most uncertain first.

    Returns
    -------
    pandas.DataFrame
        Columns ``token``, ``count``, ``mean_entropy``, ``mean_surprisal`` (nats).
    """
    known = np.flatnonzero(tokens.has_context)
    frame = pd.DataFrame(
        {
            "token": [printable(tokens.text[i]) for i in known],
            "mean_entropy": tokens.entropy[known].astype(np.float64),
            "mean_surprisal": tokens.surprisal[known].astype(np.float64),
        }
    )
    grouped = frame.groupby("token", sort=False)
    table = grouped.mean()
    table.insert(0, "count", grouped.size())
    return table.sort_values(["mean_entropy", "count"], ascending=False, kind="stable").reset_index()
