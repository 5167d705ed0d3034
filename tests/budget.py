"""The error budget: how far apart two right ways to one number may come out.

Every processor adds in its own order, so the same sum comes out a few roundings apart: with other vector units,
another number of threads, a cache, or blocks of another size. A tolerance of a numeric test is therefore EPS times
the number of roundings times the size of what was added, and comes from here. The numbers of roundings are four
times the worst that was seen between AVX-512, AVX2 and SSE kernels, with one thread and with two, on the tiny
models and the embedded one (CONTRIBUTING.md, "Tolerances").

float64 against float64 is compared at :data:`EXACT`; the same route with the same shapes bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

EPS = 2.0**-23
"""Spacing of float32 at 1: one rounding, relative."""
EXACT = 1e-9
"""float64 against float64, relative."""
STATES = 64 * EPS
"""States, keys, values and their norms, as a share of the largest."""
ROW_ENTROPY = 1e-4
"""Entropy of a row of attention, in nats."""
WEIGHT = 2e-5
"""A weight of attention, of at most 1, or a mean of such."""
ROW_SUM = 16 * EPS
"""A row of attention that is to sum to 1."""
MATRIX_ENTROPY = 5e-5
"""Matrix entropy from float32 products and eigenvalues, in nats; 4.2e-6 at most was seen, and 1e-7 in the median."""
EFFECTIVE_RANK = 5e-5
"""Effective rank by eigenvalues from the same, relative: its logarithm is the matrix entropy."""
SINGULAR_RANK = 5e-4
"""Effective rank by singular values, relative: roots of eigenvalues that are almost 0 know less. 6e-6 was seen."""
POWER_LAW = 5e-5
"""alpha-ReQ and its R^2; 4e-6 was seen."""
WIDE = 4
"""Budgets where roundings are amplified on the way: by the tiny models of some families (gpt_oss, smollm3), and by
many layers that read a cache which another program cut."""
PLAINLY = 10
"""What is to show that something changes a number exceeds so many budgets."""
_LOGIT = 32
_TIE = 64
_FEW = 0.01
"""Share of a set that may differ by ties: more, and the score would say nothing."""


def largest(*values: Any) -> float:
    """Largest size in arrays or tensors; what is not a number does not count."""
    return max(float(np.nanmax(np.abs(np.asarray(v, np.float64)))) for v in values)


def rounding(*logits: Any) -> float:
    """Nats between two float32 routes to a logit, a log-probability, a surprisal or an entropy.

    32 EPS times the largest logit (or log-probability, where logits are not at hand) and at least 1: a
    log-probability is a difference of logits, and an entropy a mean of log-probabilities.
    """
    return _LOGIT * EPS * max(1.0, largest(*logits))


def rounding_in(model: Any, text: str) -> float:
    """:func:`rounding` of the library's own logits of a text, for an ``analysis.LanguageModel``."""
    import torch

    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    with model.lock, torch.inference_mode():
        return rounding(model.model(input_ids=ids, use_cache=False).logits)


def of_varentropy(varentropy: Any, near: float) -> np.ndarray:
    """The budget of a varentropy ``sum p (ln p + H)^2`` where log-probabilities have the budget ``near``.

    ``ln p + H`` is off by two of them, d, and so the mean of its square by ``2 d sqrt(varentropy) + d^2``.
    """
    d = 2 * near
    return 2 * d * np.sqrt(np.asarray(varentropy, np.float64)) + d**2


def border(score: Any, count: Any) -> np.ndarray:
    """The last score of every row that belongs to the ``count`` highest, (..., 1) of (..., T)."""
    falling = -np.sort(-np.asarray(score, np.float64), axis=-1)
    last = np.maximum(np.broadcast_to(np.asarray(count), falling.shape[:-1])[..., None] - 1, 0)
    return np.take_along_axis(falling, last, -1)


def tie_width(score: Any) -> np.ndarray:
    """How far apart scores of a row may be and still tie: 64 EPS times the largest finite one, (..., 1)."""
    sizes = np.abs(np.asarray(score, np.float64))
    return _TIE * EPS * np.max(sizes, axis=-1, keepdims=True, where=np.isfinite(sizes), initial=0.0)


def assert_same_up_to_ties(ours: Any, theirs: Any, score: Any, edge: Any = None, width: Any = None) -> None:
    """Two sets are equal but for members whose score lies at the border, where rounding chooses.

    Parameters
    ----------
    ours, theirs : array of bool, shape (..., T)
        Sets chosen row by row.
    score : array, shape (..., T)
        What they were chosen by; higher is in.
    edge, width : array, optional
        Score of the last member and how far from it is a tie; by default :func:`border` of the number of members
        and :func:`tie_width`.
    """
    ours, theirs, score = (np.asarray(x) for x in (ours, theirs, score))
    edge = border(score, theirs.sum(-1)) if edge is None else edge
    width = tie_width(score) if width is None else width
    with np.errstate(invalid="ignore"):  # infinite scores at an infinite border
        away = np.where(score == edge, 0.0, np.abs(score - edge))
    other = ours != theirs
    wrong = other & (away > width)
    assert not wrong.any(), f"{wrong.sum()} of {other.size} members differ that are no ties"
    assert other.mean() <= _FEW, (
        f"{other.sum()} of {other.size} members tie: too many for the score to choose"
    )
