"""AdaKV: the KV heads of a layer share one budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.pruning_effects.policies.snapkv import SnapKV


@dataclass(frozen=True)
class AdaptiveBudgets(SnapKV):
    """SnapKV's score, best tokens of a layer whatever their KV head; every head keeps a floor."""

    floor: float = 0.2
    """Share of an equal budget that each head keeps at least."""

    name = "adakv"
    label = "AdaKV"
    source = (
        "Feng et al. 2024 (arXiv 2407.11550) on SnapKV's score: budgets are pooled over a layer's KV heads, with a floor of 20 % each. "
        "Their sum is everyone's; a cache of equal lengths would hold the longest head's."
    )

    def keep(self, scores: Tensor, budgets: np.ndarray) -> Tensor:
        """The floor of every head, then the highest scores of the layer."""
        kept = torch.zeros(scores.shape, dtype=torch.bool)
        for layer, budget in enumerate(budgets):
            score = scores[layer].clone()
            safe = score.topk(max(1, int(budget * self.floor)), dim=-1).indices
            score.scatter_(-1, safe, torch.inf)
            best = score.flatten().topk(int(budget) * len(score)).indices
            kept[layer].view(-1)[best] = True
        return kept
