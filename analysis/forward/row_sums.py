"""What blocks of attention sum along their rows, and a layer's statistics made of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.units import from_nats


@dataclass(frozen=True, eq=False)
class Attended:
    """One layer's attention, reduced; all of it on the device of the queries."""

    output: Tensor
    """(H, T, d), in the precision of the queries; a view of (T, H, d)."""
    entropy: Tensor
    """(H, T), nats: over the tokens seen, renormalised where a learned sink takes a share."""
    columns: Tensor
    """float64, (H, w, T): ``P^T W``, the column sums weighted by each of the w weightings."""
    first_key: Tensor
    """(H, T): weight of each query on key 0."""
    mass: Tensor
    """(H, T): weight of each query on all tokens; 1 without a learned sink."""
    row_error: Tensor
    """Largest difference of a checked row's sum from its mass, a single number."""


@dataclass(frozen=True, eq=False)
class RowSums:
    """What blocks sum along the rows of the map, before it is divided; all (H, T) or a part of it."""

    total: Tensor
    """``t``: of the weights, the largest being 1."""
    spread: Tensor
    """Of weight times score, in bits below the largest."""
    first: Tensor
    """Weight on key 0."""
    checked: Tensor
    """float64: the total once more, of each block's last row; 0 elsewhere."""
    whole: Tensor
    """The total with the learned sink; the same tensor as ``total`` without one."""

    @staticmethod
    def of(n_heads: int, n_tokens: int, sinks: bool, device: torch.device) -> RowSums:
        """Room for those of one layer."""
        shape = n_heads, n_tokens
        total = torch.empty(shape, device=device)
        return RowSums(
            total,
            torch.empty(shape, device=device),
            torch.zeros(shape, device=device),
            torch.zeros(shape, dtype=torch.float64, device=device),
            torch.empty(shape, device=device) if sinks else total,
        )

    def at(self, heads: slice, rows: range) -> RowSums:
        """The part of one block."""
        here = heads, slice(rows.start, rows.stop)
        total = self.total[here]
        whole = total if self.whole is self.total else self.whole[here]
        return RowSums(total, self.spread[here], self.first[here], self.checked[here], whole)

    def attended(self, output: Tensor, columns: Tensor) -> Attended:
        """The layer's statistics, written over the sums."""
        unchecked = self.checked == 0
        error = self.checked.sub_(self.total).abs_().div_(self.whole).masked_fill_(unchecked, 0).max()
        entropy = self.spread.div_(self.total).div_(from_nats(-1.0, "bits")).add_(self.total.log())
        first = self.first.div_(self.whole)
        mass = self.total.fill_(1) if self.whole is self.total else self.total.div_(self.whole)
        return Attended(output, entropy, columns, first, mass, error)
