"""Spectra of one layer's states in float32 where that is exact enough, in float64 where it is not.

Rows are centred and normalised in float64; their products and the eigenvalues of these are taken in float32,
which halves the cost. Rounding moves an eigenvalue by up to about one spacing of the largest: nothing to a matrix
entropy, but much to the square root of an eigenvalue that is nearly 0. Where that could show, float64 decides.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.models.library_parts import float32_eigenvalues
from analysis.results.spectra import CHUNK_ROWS, STEP_ROWS, eigenvalue_shares, prepared, rows_repeat

SINGLE_FROM = 192
"""Float64 is as good as free where the smaller of tokens and width is below this."""
LARGEST_DOUBT = 5e-4
"""Share of the sum of singular values that rounding may make up before float64 decides."""
_LARGEST_STRETCH = 4.0
"""A matrix of products is corrected only where no row gets so many times shorter: its rounding grows with that."""


def shares_with_and_without_first(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalue shares of a layer's states: of all tokens, and of all but token 0.

    Parameters
    ----------
    states : ndarray, float32, shape (T, D)
        One row per token, T at least 2.

    Returns
    -------
    tuple of ndarray, float64, shapes (min(T, D),) and (min(T - 1, D),)
        :func:`analysis.results.spectra.eigenvalue_shares` of ``states`` and of ``states[1:]``, within 5e-5 nats of
        matrix entropy. NaN as there.
    """
    n, width = states.shape
    small, repeated = min(n, width) < SINGLE_FROM, n <= width and rows_repeat(states)
    if small or repeated or not np.isfinite(states).all():
        return eigenvalue_shares(states), eigenvalue_shares(states[1:])
    both = _by_tokens(states) if n <= width else (_by_width(states[first:]) for first in (1, 0))
    found = []
    for rows, gram in zip((states[1:], states), both, strict=True):
        shares = None
        if gram is not None:
            shares = shares_of(_eigenvalues(gram), min(len(rows) - 1, width))
        found.append(eigenvalue_shares(rows) if shares is None else shares)
    return found[1], found[0]


def shares_of(rising: np.ndarray, rank: int) -> np.ndarray | None:
    """Float32 eigenvalues as shares of their sum, or None where their rounding could show.

    Parameters
    ----------
    rising : ndarray, float32, shape (n,)
        Of a matrix of products, as a decomposition gives them.
    rank : int
        Most of them that can be above 0: centred rows span one direction less than they are.

    Returns
    -------
    ndarray, float64, shape (n,), or None
        Falling. Only what came out below 0 becomes 0: dropping all that rounding may have made would take away
        much that is real.
    """
    values = np.maximum(rising[::-1].astype(np.float64), 0.0)
    values[rank:] = 0.0
    noise, singular = np.finfo(np.float32).eps * values[0], np.sqrt(values[:rank])
    doubt = noise / (2 * np.maximum(singular, np.sqrt(noise))) if noise > 0 else np.inf
    if not np.sum(doubt) < LARGEST_DOUBT * singular.sum():
        return None
    return values / values.sum()


def _unit_rows(states: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows prepared in float64 and then rounded, and how long they were, (n,)."""
    single, lengths = np.empty(states.shape, np.float32), np.empty(len(states))
    for start in range(0, len(states), STEP_ROWS):
        here = slice(start, start + STEP_ROWS)
        single[here], lengths[here] = prepared(states[here], mean)
    return single, lengths


def _by_width(states: np.ndarray) -> np.ndarray:
    """Products of directions, (D, D)."""
    mean = states.mean(0, dtype=np.float64)
    gram = np.zeros((states.shape[1], states.shape[1]), np.float32)
    for start in range(0, len(states), CHUNK_ROWS):
        rows, _ = _unit_rows(states[start : start + CHUNK_ROWS], mean)
        gram += rows.T @ rows
    return gram


def _by_tokens(states: np.ndarray) -> Iterator[np.ndarray | None]:
    """Products of rows, (T - 1, T - 1) of all but the first, then (T, T) of all rows, from one multiplication.

    Notes
    -----
    With y the rows centred without row 0 and s their lengths, K_ij = y_i . y_j / (s_i s_j) is multiplied out; it
    holds the first matrix. Row 0 moves the mean to m = y_0 / T, and (y_i - m) . (y_j - m) = s_i s_j K_ij - c_i -
    c_j + |m|^2 with c_i = y_i . m = s_i K_i0 |m|: lengths times K, and a matrix of rank 2, written over K. Beginning
    *without* token 0 keeps the digits where its activation is massive. The second matrix is None where the
    correction would cost digits.
    """
    n = len(states)
    rows, length = _unit_rows(states, states[1:].mean(0, dtype=np.float64))
    gram = rows @ rows.T
    yield gram[1:, 1:]
    length /= length.max() or 1.0
    mean = length[0] / n
    along = length * gram[0] * mean
    moved = np.sqrt(np.maximum(length**2 - 2 * along + mean**2, 0.0))
    if not (length <= _LARGEST_STRETCH * moved).all():
        yield None
        return
    divisor = np.where(moved > 0, moved, 1.0)
    stretch = (length / divisor).astype(np.float32)
    pair = np.stack([(mean**2 / 2 - along) / divisor, 1 / divisor]).astype(np.float32)
    for start in range(0, n, STEP_ROWS):
        here = slice(start, start + STEP_ROWS)
        gram[here] *= stretch[here, None]
        gram[here] *= stretch
        gram[here] += pair[:, here].T @ pair[::-1]
    np.fill_diagonal(gram, moved > 0)
    yield gram


def _eigenvalues(gram: np.ndarray) -> np.ndarray:
    """Rising eigenvalues of a symmetric float32 matrix, in float32 where numpy lets it."""
    in_float32 = float32_eigenvalues()
    return np.linalg.eigvalsh(gram) if in_float32 is None else in_float32(gram)
