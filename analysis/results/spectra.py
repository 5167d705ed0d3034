"""The shape of a cloud of token states: matrix entropy, effective rank, spectrum, curvature.

Everything starts from the eigenvalues of the states' covariance, as *shares* that sum to 1.
They are those of the token-by-token Gram matrix too, so the smaller side is decomposed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIRST_FITTED, LAST_FITTED = 11, 100
"""Eigenvalues, counted from 1 and largest first, that the power law of alpha-ReQ is fitted to."""
CHUNK_ROWS, STEP_ROWS = 1024, 128
"""Rows that are multiplied at a time, and rows that are prepared at a time: as many as stay in a processor's caches."""


@dataclass(frozen=True)
class PowerLaw:
    """A fit of eigenvalue i ~ i^-alpha."""

    alpha: float
    """Decay of the spectrum: near 1 is balanced, larger means fewer directions carry it."""
    r_squared: float
    """Share of the weighted variance of ln eigenvalue that the fit explains."""


def eigenvalue_shares(states: np.ndarray, *, centre: bool = True, normalise: bool = True) -> np.ndarray:
    """Eigenvalues of the covariance of token states, as shares of their sum.

    Parameters
    ----------
    states : ndarray, shape (N, D)
        One row per token; any float kind, computed in float64.
    centre : bool, default True
        Subtract the mean over tokens.
    normalise : bool, default True
        Then give every row the length 1; a zero row stays zero.

    Returns
    -------
    ndarray, float64, shape (min(N, D),)
        Falling, at least 0, sum 1. NaN where every row is zero or a state is not finite.

    Notes
    -----
    Z Z^T and Z^T Z have the same non-zero eigenvalues. The D x D side is summed over rows in
    chunks, so a long text costs no more memory than a short one. On the other side equal rows, such as the embeddings
    of equal tokens, are one row that weighs more.

    References
    ----------
    Skean et al. 2025, "Layer by Layer" (arXiv 2502.02013), whose published code also clamps the Gram
    matrix at zero, which breaks the equality of both sides; here nothing is clamped.
    """
    n, width = states.shape
    if not np.isfinite(states).all():  # the states of a model that overflowed
        return np.full(min(n, width), np.nan)
    mean = states.mean(0, dtype=np.float64) if centre else np.zeros(width)
    if n <= width:
        states, counts = _distinct(states)
        rows, _ = prepared(states, mean, normalise)
        if len(rows) < n:
            rows *= np.sqrt(counts)[:, None]
        gram = rows @ rows.T
    else:
        gram = np.zeros((width, width))
        for start in range(0, n, CHUNK_ROWS):
            rows, _ = prepared(states[start : start + CHUNK_ROWS], mean, normalise)
            gram += rows.T @ rows
    shares = as_shares(np.linalg.eigvalsh(gram)[::-1])
    missing = min(n, width) - len(shares)
    return np.pad(shares, (0, missing), constant_values=np.nan if np.isnan(shares).any() else 0.0)


def rows_repeat(states: np.ndarray) -> bool:
    """Whether some rows may be equal, as the embeddings of equal tokens are: their sums are."""
    return len(np.unique(states.sum(1, dtype=np.float64))) < len(states)


def _distinct(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows without their repetitions, and how often each stands there."""
    if not rows_repeat(states):
        return states, np.ones(len(states), int)
    rows = np.ascontiguousarray(states)
    whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, counts = np.unique(whole, return_index=True, return_counts=True)
    return states[first], counts


def as_shares(eigenvalues: np.ndarray) -> np.ndarray:
    """Falling eigenvalues of a Gram matrix as shares of their sum.

    What is not above the rounding error of the decomposition becomes 0: equal rows, such as the
    embeddings of equal tokens, make eigenvalues that are 0 but for rounding, and their square
    roots would count as singular values.
    """
    rounding = len(eigenvalues) * np.finfo(float).eps * eigenvalues[0]
    values = np.where(eigenvalues > rounding, eigenvalues, 0.0)
    total = values.sum()
    return values / total if total > 0 else np.full(len(values), np.nan)


def prepared(rows: np.ndarray, mean: np.ndarray, normalise: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Rows less a mean, each then of length 1 unless it is zero, and how long it was; float64 where the mean is."""
    rows = rows - mean
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    if normalise:
        rows /= np.where(lengths > 0, lengths, 1.0)[:, None]
    return rows, lengths


def renyi_entropy(shares: np.ndarray, order: float = 1.0) -> np.ndarray:
    """Matrix entropy: the Renyi entropy of eigenvalue shares.

    Parameters
    ----------
    shares : ndarray, shape (..., n)
        From :func:`eigenvalue_shares`; zeros at the end change nothing.
    order : float, default 1
        Above 0. 1 is the von Neumann entropy; larger orders listen to the largest directions.

    Returns
    -------
    ndarray, float64, shape (...), nats
        At most ln of the number of directions: ln min(N - 1, D) for centred states.
    """
    if not order > 0:
        raise ValueError(f"order must be above 0, got {order}")
    positive = np.where(shares > 0, shares, 1.0)
    if order == 1:
        entropy = -(np.where(shares > 0, shares, 0.0) * np.log(positive)).sum(-1)
    else:
        total = np.where(shares > 0, positive**order, 0.0).sum(-1)
        entropy = np.log(np.where(total > 0, total, 1.0)) / (1 - order)
    return np.where(np.isnan(shares).any(-1), np.nan, entropy)


def effective_rank(shares: np.ndarray) -> np.ndarray:
    """Effective rank from covariance eigenvalues: exp of the matrix entropy of order 1."""
    return np.exp(renyi_entropy(shares))


def effective_rank_singular(shares: np.ndarray) -> np.ndarray:
    """Effective rank from singular values, the square roots of the eigenvalues.

    References
    ----------
    Roy and Vetterli 2007; RankMe (Garrido et al. 2022, arXiv 2210.02885) uses it on uncentred
    features, one row per input and thousands of inputs, with 1e-7 added to each share. Here rows are what the
    eigenvalues were taken of: the tokens of one text wherever this project draws it, and nothing is added. Singular values 3, 1, 0.5 give 2.337 here and 1.540 by :func:`effective_rank`.
    """
    singular = np.sqrt(shares)
    return np.exp(renyi_entropy(singular / singular.sum(-1, keepdims=True)))


def alpha_req(shares: np.ndarray) -> PowerLaw | None:
    """Power law of the spectrum: ln eigenvalue against -ln rank, weighted by 1 / rank.

    Parameters
    ----------
    shares : ndarray, shape (n,)
        Falling.

    Returns
    -------
    PowerLaw or None
        None with fewer than 100 positive eigenvalues: the fit needs ranks 11 to 100.

    References
    ----------
    Agrawal et al. 2022, "alpha-ReQ" (NeurIPS 2022).
    """
    values = shares[FIRST_FITTED - 1 : LAST_FITTED]
    if len(shares) < LAST_FITTED or not (values > np.finfo(float).eps).all():
        return None
    ranks = np.arange(FIRST_FITTED, LAST_FITTED + 1)
    x, y, weight = -np.log(ranks), np.log(values), 1 / ranks
    mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
    spread = (weight * (y - mean_y) ** 2).sum()
    alpha = (weight * (x - mean_x) * (y - mean_y)).sum() / (weight * (x - mean_x) ** 2).sum()
    left = (weight * (y - mean_y - alpha * (x - mean_x)) ** 2).sum()
    return PowerLaw(float(alpha), float(1 - left / spread) if spread > 0 else 1.0)


def turning_angles(states: np.ndarray) -> np.ndarray:
    """Angle between each step of the state along the text and the next; its mean is the *curvature*.

    Parameters
    ----------
    states : ndarray, shape (N, D)
        In the order of the text.

    Returns
    -------
    ndarray, float64, shape (max(N - 2, 0),), radians
        0 where the path goes straight on, pi where it turns back; NaN where a step has no length.

    References
    ----------
    Hosseini and Fedorenko 2023 (arXiv 2311.04930), used by "Layer by Layer".
    """
    angles, previous = [np.empty(0)], None
    for start in range(0, len(states) - 1, STEP_ROWS):
        with np.errstate(invalid="ignore", divide="ignore"):
            steps = np.diff(states[start : start + STEP_ROWS + 1].astype(np.float64), axis=0)
            if previous is not None:
                steps = np.concatenate([previous[None], steps])
            previous = steps[-1]
            norm = np.sqrt(np.einsum("nd,nd->n", steps, steps))
            cosine = np.einsum("nd,nd->n", steps[:-1], steps[1:]) / (norm[:-1] * norm[1:])
        angles.append(np.arccos(np.clip(cosine, -1, 1)))
    return np.concatenate(angles)
