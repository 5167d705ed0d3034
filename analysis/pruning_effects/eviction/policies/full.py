"""The full cache, the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.pruning_effects.eviction.policies.base import Policy

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class Full(Policy):
    """Nothing is evicted: the reference."""

    name = "full"
    label = "full cache"
    source = "The model as it is."

    def score(self, view: LayerView) -> Tensor:
        """All alike."""
        return torch.zeros(1, view.n_tokens)

    def budgets(self, n: int, kept: float, n_layers: int) -> np.ndarray:
        """Everything, whatever share is asked for."""
        return super().budgets(n, 1.0, n_layers)
