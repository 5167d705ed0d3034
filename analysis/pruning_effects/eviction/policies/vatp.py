"""VATP: attention received times the size of the value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from analysis.pruning_effects.eviction.policies.base import EVERY_QUERY, Policy, per_kv_head

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class VATP(Policy):
    """Tokens that get attention and have something to say."""

    name = "vatp"
    label = "VATP"
    source = (
        "Guo et al. 2024 (arXiv 2406.12335), once after the prefill: column sum over all queries, mean over the group, times "
        "the 1-norm of the value. The published one keeps the first 20 tokens besides."
    )

    def weightings(self, n: int) -> dict[str, np.ndarray]:
        """Every query counts 1."""
        return {EVERY_QUERY: np.ones(n)}

    def score(self, view: LayerView) -> Tensor:
        """Column sum times the 1-norm of the value."""
        received = per_kv_head(view.column_sum(EVERY_QUERY), view.n_groups).float()
        return received * view.value.float().abs().sum(-1)
