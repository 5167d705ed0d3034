"""Numbers about visual tokens that need arrays alone: shares of attention, and sinks."""

from __future__ import annotations

import numpy as np


def modality_balance(
    attention: np.ndarray, is_visual: np.ndarray, *, without_first: bool = False
) -> tuple[float, float]:
    """Say whether text or image gets the attention of an answer.

    With A the attention mass and n the number of keys of text (T) and image (V):
    MDI = (A_T / n_T) / (A_V / n_V), AEI = (A_T / (A_T + A_V)) / (n_T / (n_T + n_V)).

    Parameters
    ----------
    attention : numpy.ndarray
        (rows, keys): rows of the answer only, which see image and text alike; mean over heads or one head.
    is_visual : numpy.ndarray
        (keys,) of bool.
    without_first : bool, default False
        Leave token 0 out: a sink there counts as text otherwise.

    Returns
    -------
    mdi, aei : float
        Above 1 where text gets more than its number of tokens says; NaN without keys of both kinds, and where none of them gets any.
    """
    first = int(without_first)
    mass, visual = attention[:, first:].sum(0), is_visual[first:]
    n_visual, n_text = int(visual.sum()), int((~visual).sum())
    if not n_visual or not n_text:
        return float("nan"), float("nan")
    to_visual, to_text = float(mass[visual].sum()), float(mass[~visual].sum())
    if not to_visual and not to_text:
        return float("nan"), float("nan")
    mdi = (to_text / n_text) / (to_visual / n_visual) if to_visual else float("inf")
    aei = (to_text / (to_text + to_visual)) / (n_text / (n_text + n_visual))
    return mdi, aei


def sink_dimensions(first: np.ndarray, threshold: float = 20.0) -> np.ndarray:
    """Find the dimensions in which the first token's normalised state is massive, in any of the layers.

    Parameters
    ----------
    first : numpy.ndarray
        (layers, D): states of token 0 in the middle layers.
    threshold : float, default 20
        Multiple of the state's root mean square.

    Returns
    -------
    numpy.ndarray
        Indices; none in many small models.
    """
    return np.flatnonzero((_normalised(first) > threshold).any(0))


def visual_sinks(states: np.ndarray, dimensions: np.ndarray, threshold: float = 20.0) -> np.ndarray:
    """Mark visual tokens that are sinks: massive in one of a model's sink dimensions.

    Kang et al. 2025, See what you are told: visual attention sink in large multimodal models (arXiv 2503.03321).

    Parameters
    ----------
    states : numpy.ndarray
        (n, D): states of the visual tokens in one layer, from layer 2 on.
    dimensions : numpy.ndarray
        Of :func:`sink_dimensions`, or the published ones of a model.
    threshold : float, default 20

    Returns
    -------
    numpy.ndarray
        (n,) of bool.
    """
    if not len(dimensions):
        return np.zeros(len(states), bool)
    return np.any(_normalised(states)[:, dimensions] > threshold, axis=1, keepdims=False)


def _normalised(states: np.ndarray) -> np.ndarray:
    """Sizes of states over their root mean square, without a learned weight."""
    states = np.asarray(states, np.float64)
    size = np.sqrt(np.square(states).mean(-1, keepdims=True))
    return np.abs(states) / np.maximum(size, np.finfo(np.float64).tiny)
