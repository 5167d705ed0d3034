"""TOVA: what the last query attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import Policy

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class TOVA(Policy):
    """What the last query attends to, mean over all heads."""

    stepwise = True
    name = "tova"
    label = "TOVA"
    source = f"{cited('tova')}: attention of the last query, mean over heads, one kept set per layer; the last token stays."

    def protected(self, n: int) -> int:
        """The last token."""
        return 1

    def score(self, view: LayerView) -> Tensor:
        """The last row."""
        score = view.last_rows(1)[:, 0].mean(0, keepdim=True)
        score[:, -1] = torch.inf
        return score

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int) -> Tensor:
        """The newest row alone; as published, the newest token is not protected here."""
        return weights.mean(1, keepdim=True).expand(-1, scores.shape[1], -1)
