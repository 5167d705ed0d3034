"""Layers and shares that were published for one model, carried over to models of another depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PUBLISHED_LAYERS = 32
"""Layers of the language model on which the lists were published."""


def same_depth(published: Sequence[int], n_layers: int) -> tuple[int, ...]:
    """Layers at the same share of the depth, rounded, at least 1 and rising by at least one.

    May reach beyond a model that has fewer layers than the list; see :meth:`VisualPolicy.unsupported`.
    """
    found: list[int] = []
    for layer in published:
        wanted = int(layer * n_layers / PUBLISHED_LAYERS + 0.5)
        found.append(max(wanted, found[-1] + 1 if found else 1))
    return tuple(found)


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
