"""KeyDiff: keys unlike the mean key stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import Policy

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class KeyDiff(Policy):
    """Keys that point away from the mean direction stay."""

    name = "keydiff"
    label = "KeyDiff"
    source = f"{cited('keydiff')}: score -cos(k, mean of the normalised keys), per KV head."

    def score(self, view: LayerView) -> Tensor:
        """Minus the cosine to the anchor."""
        keys = view.key.float()
        anchor = functional.normalize(keys, dim=-1).mean(1, keepdim=True)
        return -functional.cosine_similarity(keys, anchor, dim=-1)
