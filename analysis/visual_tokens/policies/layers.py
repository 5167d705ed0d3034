"""Layers and shares that were published for one model, carried over to models of another depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PUBLISHED_LAYERS = 32
"""Layers of the language model on which the lists were published."""


def same_depth(published: Sequence[int], n_layers: int) -> tuple[int, ...]:
    """First layers that see fewer tokens, at the same share of the depth.

    Parameters
    ----------
    published : sequence of int
        First layers that see fewer, of :data:`PUBLISHED_LAYERS`, from 0.
    n_layers : int
        Layers of the model, L.

    Returns
    -------
    tuple of int
        ``layer * L / 32``, a half rounded up, at least 1. Several may fall on one layer.
    """
    return tuple(max(1, int(layer * n_layers / PUBLISHED_LAYERS + 0.5)) for layer in published)


def last_with_all(after: Sequence[int], n_layers: int) -> tuple[int, ...]:
    """Layers after which tokens go, from those published, of 32: each the one before its cut's :func:`same_depth`."""
    return tuple(cut - 1 for cut in same_depth([layer + 1 for layer in after], n_layers))


def stage_counts(
    n: int, kept: int, last: Sequence[float], earlier: Sequence[Sequence[float]]
) -> tuple[int, ...]:
    """Tokens left after each stage, the last one exactly ``kept``.

    Parameters
    ----------
    n : int
        Tokens there are.
    kept : int
        Tokens left in the end.
    last : sequence of float
        Published shares left in the end, rising.
    earlier : sequence of sequence of float
        For each earlier stage the shares left there, one per entry of ``last``. Between two entries the share
        lies on a straight line, below the first it is the first one's.

    Returns
    -------
    tuple of int
        Falling, or equal.
    """
    shares = [float(np.interp(kept / n, last, share)) for share in earlier]
    counts: list[int] = []
    for share in shares:
        most = counts[-1] if counts else n
        counts.append(min(most, max(kept, int(share * n + 0.5))))
    return (*counts, kept)
