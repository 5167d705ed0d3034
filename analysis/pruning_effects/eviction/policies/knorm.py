"""Key norm: keys with the smallest norms stay."""

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
class KNorm(Policy):
    """Keys with the smallest norms stay."""

    name = "knorm"
    label = "key norm"
    source = f"{cited('knorm')}: score -|k|, in float32."

    def score(self, view: LayerView) -> Tensor:
        """Minus the norm."""
        return -torch.linalg.vector_norm(view.key, dim=-1, dtype=torch.float32)
