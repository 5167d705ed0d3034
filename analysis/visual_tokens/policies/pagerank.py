"""Weighted PageRank on the tower's attention: tokens that important tokens attend to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.visual_tokens.policies.base import ScoredPolicy

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class WeightedPageRank(ScoredPolicy):
    """Importance that flows along attention, per head, then the root mean square over heads."""

    rounds: int = 30

    name = "pagerank"
    label = "weighted PageRank (Zero-TPrune)"
    source = "Wang et al. 2023 (Zero-TPrune, arXiv 2305.17328), from its abstract."
    formula = "s = A^T s from 1 / N each, 30 times per head; root mean square over heads."
    deviations = (
        "Published inside the tower, in several layers; here once, on the layer whose features are used. Rows are "
        "stretched to 1 over the patches; no head is left out for its variance; tokens alike are not pruned in a second step."
    )
    needs = ("tower_attention",)

    def score(self, view: VisualView) -> Tensor:
        """Importance of each token."""
        attention = view.part("tower_attention").double()
        attention = attention / attention.sum(2, keepdim=True)
        importance = attention.new_full((len(attention), len(view)), 1 / len(view))
        for _ in range(self.rounds):
            importance = torch.einsum("hqn,hq->hn", attention, importance)
        return importance.square().mean(0).sqrt().float()
