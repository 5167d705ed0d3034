"""Attention of many queries, each to a list of keys of its own out of one table."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from analysis.forward.attention import block_bytes

MASKED = -1e30
"""Score of a pair that is not seen: exp() of it is 0, and 0 times it is 0, not NaN."""


def attend_gathered(
    query: Tensor,
    table: Tensor,
    places: Tensor,
    hidden: Tensor,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Attention of batches of queries to the keys that each batch names.

    Parameters
    ----------
    query : Tensor, float32 or float64, shape (B, q, d)
        Scaled queries.
    table : Tensor, of the same precision, shape (N, d + dv)
        Keys, each with its value beside it: one gather finds both.
    places : Tensor, int64, shape (B, c)
        Rows of the table that each batch attends to.
    hidden : Tensor of bool, shape (q, w)
        What each query does not see of the last w keys of its batch.
    watch : callable, optional
        Called with the number of a batch and its weights (q, c), which are used again afterwards.

    Returns
    -------
    Tensor, of the same precision, shape (B, q, dv)

    Notes
    -----
    A few batches at a time, so that their scores stay in a CPU's cache; one batch may exceed it.
    """
    n_batches, n_queries, width = query.shape
    count = places.shape[1]
    together = max(1, min(n_batches, block_bytes(query.device) // (4 * n_queries * count)))
    mask = torch.zeros(hidden.shape, dtype=query.dtype, device=query.device).masked_fill_(hidden, MASKED)
    out = torch.empty(n_batches, n_queries, table.shape[1] - width, dtype=query.dtype, device=query.device)
    room = torch.empty(together, n_queries, count, dtype=query.dtype, device=query.device)
    for begin in range(0, n_batches, together):
        some = slice(begin, min(begin + together, n_batches))
        found = table.index_select(0, places[some].flatten()).view(-1, count, table.shape[1])
        scores = room[: len(found)]
        torch.bmm(query[some], found[..., :width].transpose(1, 2), out=scores)
        scores[..., count - hidden.shape[1] :].add_(mask)
        torch.softmax(scores, -1, out=scores)
        torch.bmm(scores, found[..., width:], out=out[some])
        if watch is not None:
            for batch, weights in enumerate(scores, begin):
                watch(batch, weights)
    return out
