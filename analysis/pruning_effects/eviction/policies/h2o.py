"""H2O: attention received, added up, and the newest tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import (
    EVERY_QUERY,
    Policy,
    by_kv_head,
    per_kv_head,
    with_newest,
)

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class H2O(Policy):
    """Half the budget to the heaviest hitters, half to the newest tokens."""

    recent_share: float = 0.5
    """Share of the budget for the newest tokens; the published scripts use equal halves."""

    stepwise = True
    name = "h2o"
    label = "H2O"
    source = (
        f"{cited('h2o')}, once after the prefill: column sums over all queries, mean over the group where "
        "the published one has no groups. No query of the future is counted."
    )

    def weightings(self, n: int) -> dict[str, np.ndarray]:
        """Every query counts 1."""
        return {EVERY_QUERY: np.ones(n)}

    def score(self, view: LayerView) -> Tensor:
        """Column sum."""
        return per_kv_head(view.column_sum(EVERY_QUERY), view.n_groups).float()

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int) -> Tensor:
        """What is kept goes on accumulating."""
        return with_newest(scores, 0.0) + by_kv_head(weights, scores.shape[1])

    def keep(self, scores: Tensor, budgets: np.ndarray) -> Tensor:
        """The newest tokens first, then the highest of the others."""
        scores = scores.clone()
        for layer, budget in enumerate(budgets):
            recent = int(budget * self.recent_share)
            if recent:
                scores[layer, :, -recent:] = torch.inf
        return super().keep(scores, budgets)
