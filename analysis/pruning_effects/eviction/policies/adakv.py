"""AdaKV: the KV heads of a layer share one budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.snapkv import SnapKV
from analysis.ties import keep_top


@dataclass(frozen=True)
class AdaKV(SnapKV):
    """SnapKV's score, best tokens of a layer whatever their KV head; every head keeps a floor."""

    floor: float = 0.2
    """Share of an equal budget that each head keeps at least."""

    name = "adakv"
    label = "AdaKV"
    source = (
        f"{cited('adakv')} on SnapKV's score: budgets are pooled over a layer's KV heads, with a floor of 20 % each. "
        "Their sum is the same as with other methods; a cache of equal lengths would hold the longest head's."
    )

    def keep(self, scores: Tensor, budgets: np.ndarray) -> Tensor:
        """The floor of every head, then the highest scores of the layer; of equal ones the earlier token, then the lower head."""
        kept = torch.zeros(scores.shape, dtype=torch.bool)
        for layer, budget in enumerate(budgets):
            safe = keep_top(scores[layer], max(1, int(budget * self.floor)))
            by_token = scores[layer].masked_fill(safe, torch.inf).T  # (n, G)
            kept[layer] = keep_top(by_token.flatten(), int(budget) * len(safe)).view_as(by_token).T
        return kept
