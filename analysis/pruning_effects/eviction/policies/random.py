"""Random eviction: the band every method has to leave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.pruning_effects.eviction.policies.base import Policy, with_newest

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class Random(Policy):
    """Uniformly random tokens, other ones for every layer, KV head and seed."""

    seed: int = 0

    name = "random"
    label = "random"
    source = "A control. The generator is seeded with seed + 1000 * layer, so no two layers choose alike."
    is_random = True
    stepwise = True

    def drawn(self, number: int) -> Policy:
        """The same with that seed."""
        return replace(self, seed=number)

    def score(self, view: LayerView) -> Tensor:
        """Uniform draws."""
        generator = torch.Generator().manual_seed(self.seed + 1000 * view.layer)
        return torch.rand(view.key.shape[:2], generator=generator)

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int) -> Tensor:
        """A draw for the newest token: what is kept stays a uniform sample of all that was read."""
        generator = torch.Generator().manual_seed(self.seed + 1_000_003 * (t + 1))
        return with_newest(scores, torch.rand(*scores.shape[:2], 1, generator=generator))
