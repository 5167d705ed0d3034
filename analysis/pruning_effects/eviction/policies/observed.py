"""Observed attention: the mean attention a token received."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.pruning_effects.eviction.policies.base import EVERY_QUERY, Policy, per_kv_head

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class Observed(Policy):
    """Mean attention received, over the queries that can see the token."""

    name = "observed"
    label = "observed attention"
    source = "kvpress's observed attention: column sums of the prefill divided by the queries that see the key, mean over the group."

    def weightings(self, n: int) -> dict[str, np.ndarray]:
        """Every query counts 1."""
        return {EVERY_QUERY: np.ones(n)}

    def score(self, view: LayerView) -> Tensor:
        """Column mean."""
        n = view.n_tokens
        seen_by = torch.arange(n, 0, -1, dtype=torch.float64, device=view.key.device)
        return (per_kv_head(view.column_sum(EVERY_QUERY), view.n_groups) / seen_by).float()
