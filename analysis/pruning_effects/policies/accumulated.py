"""Methods that add up the attention a token received: H2O, observed attention, A2SF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.pruning_effects.policies.base import Policy, by_kv_head, per_kv_head, with_newest

if TYPE_CHECKING:
    from analysis.forward.prefix import LayerReading

_ONES = "all"


@dataclass(frozen=True)
class ObservedAttention(Policy):
    """Mean attention received, over the queries that can see the token."""

    name = "observed"
    label = "observed attention"
    source = "kvpress's observed attention: column sums of the prefill divided by the queries that see the key, mean over the group."

    def weightings(self, n: int) -> dict[str, np.ndarray]:
        """Every query counts 1."""
        return {_ONES: np.ones(n)}

    def score(self, reading: LayerReading, sums: dict[str, Tensor], seed: int) -> Tensor:
        """Column mean."""
        n = reading.key.shape[1]
        seen_by = torch.arange(n, 0, -1, dtype=torch.float64, device=reading.key.device)
        return (per_kv_head(sums[_ONES], reading.key.shape[0]) / seen_by).float()


@dataclass(frozen=True)
class HeavyHitters(Policy):
    """Half the budget to the heaviest hitters, half to the newest tokens."""

    recent_share: float = 0.5
    """Share of the budget for the newest tokens; the published scripts use equal halves."""

    stepwise = True
    name = "h2o"
    label = "H2O"
    source = (
        "Zhang et al. 2023 (arXiv 2306.14048), once after the prefill: column sums over all queries, mean over the group where "
        "the published one has no groups. No query of the future is counted."
    )

    def weightings(self, n: int) -> dict[str, np.ndarray]:
        """Every query counts 1."""
        return {_ONES: np.ones(n)}

    def score(self, reading: LayerReading, sums: dict[str, Tensor], seed: int) -> Tensor:
        """Column sum."""
        return per_kv_head(sums[_ONES], reading.key.shape[0]).float()

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int, seed: int) -> Tensor:
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


@dataclass(frozen=True)
class Forgetting(HeavyHitters):
    """H2O with older queries counting less and less."""

    recent_share: float = 0.0625
    factor: float = 0.95
    """Forgetting factor a: a query i tokens before the last counts a^i. 1 is H2O, towards 0 only the last counts."""

    name = "a2sf"
    label = "A2SF"
    source = (
        "Jo and Shin 2024 (arXiv 2407.20485): attention sums with a forgetting factor (0.95) and a recent sixteenth of the budget (256 and 16 as "
        "released), once after the prefill, mean over the group."
    )

    def weightings(self, n: int) -> dict[str, np.ndarray]:
        """Query i counts factor^(n - 1 - i)."""
        return {f"decay {self.factor:g}": np.power(self.factor, np.arange(n - 1, -1, -1.0))}

    def score(self, reading: LayerReading, sums: dict[str, Tensor], seed: int) -> Tensor:
        """Decayed column sum."""
        return per_kv_head(sums[f"decay {self.factor:g}"], reading.key.shape[0]).float()

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int, seed: int) -> Tensor:
        """What was accumulated counts a little less than the newest attention."""
        return with_newest(self.factor * scores, 0.0) + by_kv_head(weights, scores.shape[1])
