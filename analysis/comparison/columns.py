"""Two vocabularies in one order: shared tokens first, then those that a side has alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from analysis.comparison.results import VocabularyMatch
from analysis.errors import AnalysisError


@dataclass(frozen=True, eq=False)
class Columns:
    """Which column of a block of distributions stands for which id; None where columns are the ids."""

    n_shared: int
    """Columns that both sides have; column c of A and of B is the same token."""
    order_a: Tensor | None = None
    """int64, (V_a,): id of A in each column."""
    order_b: Tensor | None = None
    """int64, (V_b,): id of B."""

    def in_order_a(self, logits: Tensor) -> Tensor:
        """Logits of A, (r, V_a), by columns: in their place where columns are ids."""
        return logits if self.order_a is None else logits.index_select(1, self.order_a)

    def in_order_b(self, logits: Tensor) -> Tensor:
        """Logits of B, (r, V_b), by columns."""
        return logits if self.order_b is None else logits.index_select(1, self.order_b)

    @cached_property
    def _column_a(self) -> Tensor:
        return torch.empty(0) if self.order_a is None else self.order_a.argsort()

    @cached_property
    def _column_b(self) -> Tensor:
        return torch.empty(0) if self.order_b is None else self.order_b.argsort()

    def of_a(self, ids: Tensor) -> Tensor:
        """Columns of A's ids."""
        return ids if self.order_a is None else self._column_a[ids]

    def of_b(self, ids: Tensor) -> Tensor:
        """Columns of B's ids."""
        return ids if self.order_b is None else self._column_b[ids]

    def ids_a(self, columns: Tensor) -> Tensor:
        """A's ids of columns."""
        return columns if self.order_a is None else self.order_a[columns]

    def ids_b(self, columns: Tensor) -> Tensor:
        """B's ids of columns."""
        return columns if self.order_b is None else self.order_b[columns]


def columns_of(match: VocabularyMatch, size_a: int, size_b: int, device: torch.device) -> Columns:
    """Columns for two heads.

    Parameters
    ----------
    match : VocabularyMatch
        Of the two vocabularies.
    size_a, size_b : int
        Rows of the heads.
    device : torch.device
        Where the distributions are.

    Raises
    ------
    AnalysisError
        If the vocabularies differ, or are not those of the heads.
    """
    if match.kind == "different":
        raise AnalysisError(match.why, "Compare spans of the text.")
    if (size_a, size_b) != (match.n_shared + match.only_a, match.n_shared + match.only_b):
        raise AnalysisError(
            f"The heads have {size_a:,} and {size_b:,} rows, the vocabularies "
            f"{match.n_shared + match.only_a:,} and {match.n_shared + match.only_b:,}.",
            "Match the vocabularies of the loaded models.",
        )
    if match.b_of_a is None:
        return Columns(match.n_shared)
    b_of_a = torch.from_numpy(match.b_of_a).to(device)
    shared = (b_of_a >= 0).nonzero()[:, 0]
    order_a = torch.cat([shared, (b_of_a < 0).nonzero()[:, 0]])
    alone = torch.ones(size_b, dtype=torch.bool, device=device)
    alone[b_of_a[shared]] = False
    order_b = torch.cat([b_of_a[shared], alone.nonzero()[:, 0]])
    return Columns(len(shared), _unless_sorted(order_a), _unless_sorted(order_b))


def _unless_sorted(order: Tensor) -> Tensor | None:
    return None if torch.equal(order, torch.arange(len(order), device=order.device)) else order
