"""CDPruner: tokens that differ from one another and belong to the question, as a determinantal point process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from analysis.visual_tokens.policies.base import VisualPolicy, VisualView, cosines, farthest, marked

_LEAST = 1e-8
"""Below this a token adds nothing to the determinant but roundings."""


@dataclass(frozen=True)
class CDPrunerLike(VisualPolicy):
    """Greedy largest determinant of diag(r) S diag(r): S cosines of the features, r relevance to the question.

    Parameters
    ----------
    negated : bool
        Whether low similarity to the question means relevant, as in the released code.
    """

    negated: bool = False

    name: ClassVar[str] = "cdpruner"
    label: ClassVar[str] = "CDPruner-like"
    source: ClassVar[str] = (
        "Zhang et al. 2025, Beyond attention or similarity: maximizing conditional diversity (arXiv 2506.10967)."
        " Relevance is the cosine with the mean embedding of the question in the language model, since most models have"
        " no text tower; so only like the published one. Where the features' rank is used up, it goes on as DivPrune."
    )
    needs: ClassVar[tuple[str, ...]] = ("features", "question")

    def choose(self, view: VisualView, budget: int, seed: int) -> Tensor:
        """Choose greedily, then by distance."""
        assert view.question is not None
        close = cosines(view.features)
        relevance = cosine_similarity(view.features.double(), view.question.double()[None], dim=-1)
        relevance = -relevance if self.negated else relevance
        low, high = relevance.min(), relevance.max()
        relevance = (relevance - low) / (high - low).clamp_min(1e-12) + 1e-6
        chosen = largest_determinant(relevance[:, None] * close * relevance, budget)
        return marked(torch.tensor(farthest(close, chosen, budget), device=close.device), view.n)


def largest_determinant(kernel: Tensor, budget: int) -> list[int]:
    """Choose tokens one by one so that the determinant of their part of a kernel grows most (Chen et al. 2018).

    Parameters
    ----------
    kernel : torch.Tensor
        (n, n) of float64, positive semidefinite.
    budget : int
        At least 1.

    Returns
    -------
    list of int
        At least one and at most ``budget``: fewer where the kernel's rank is used up.
    """
    gain = kernel.diagonal().clone()
    rows: list[Tensor] = []
    chosen: list[int] = []
    while len(chosen) < budget:
        new = int(gain.argmax())
        if chosen and gain[new] < _LEAST:
            break
        before = torch.stack(rows) if rows else kernel.new_zeros(0, len(kernel))
        row = (kernel[new] - before[:, new] @ before) / gain[new].clamp_min(_LEAST**2).sqrt()
        rows.append(row)
        chosen.append(new)
        gain = gain - row.square()
        gain[chosen] = -torch.inf
    return chosen
