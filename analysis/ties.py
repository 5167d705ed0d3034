"""The highest of many scores, ties broken by position: the same choice on every processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SLACK = 8 * 2.0**-23
"""Scores are equal if they lie this close, as a share of the score at the border: eight roundings of float32.

Numbers that are equal on paper, such as the norms of one key at two positions, come out up to three roundings apart,
in another order on another processor."""
RULE = "Where scores are equal, the earlier token stays."
"""For texts that a person reads."""


def keep_top(scores: Tensor, n: int) -> Tensor:
    """Mark the n highest scores of every row; of scores equal to the last one kept, the earliest.

    Parameters
    ----------
    scores : Tensor, shape (..., T), float32
        May be infinite. What is not a number comes last.
    n : int
        From 0 to T.

    Returns
    -------
    Tensor of bool, shape (..., T)
        Exactly n per row.

    Notes
    -----
    With b the n-th highest score, kept are all above ``b + SLACK |b|`` and then the first ones from
    ``b - SLACK |b|`` on.
    """
    if n in (0, scores.shape[-1]):
        return scores.new_full(scores.shape, n > 0, dtype=bool)
    inf = float("inf")
    scores = scores.nan_to_num(-inf, inf, -inf)
    border = scores.topk(n, dim=-1, sorted=False).values.amin(-1, keepdim=True)
    width = (SLACK * border.abs()).nan_to_num(0.0, 0.0)
    above = scores > border + width
    equal = (scores >= border - width) & ~above
    room = n - above.sum(-1, keepdim=True)
    return above | (equal & (equal.cumsum(-1) <= room))


def ranked(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest scores of every row in falling order, exactly equal ones in the order of their position.

    Parameters
    ----------
    scores : Tensor, shape (..., T)
        Numbers.
    k : int
        At most T.

    Returns
    -------
    values, indices : Tensor, shape (..., k)
        As of ``torch.topk``, which orders ties in its own way.
    """
    values, indices = scores.topk(k, dim=-1)
    indices, order = indices.sort(-1)
    values, order = values.gather(-1, order).sort(dim=-1, descending=True, stable=True)
    return values, indices.gather(-1, order)
