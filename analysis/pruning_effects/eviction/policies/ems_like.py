"""An EMS-like score: attention of the whole text and of its end, together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import EVERY_QUERY, Policy, per_kv_head
from analysis.pruning_effects.eviction.policies.observation import OBSERVATION

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class EMSLike(Policy):
    """Mean attention from all queries plus that from the last ones, each divided by its largest value."""

    window: int = 32
    """Last queries that make the local part; their own tokens are always kept."""

    controls = (OBSERVATION,)
    name = "ems-like"
    label = "EMS-like"
    source = (
        f"Made from the abstract of EMS, {cited('ems')}, whose formulas and code were not available: a global and a local attention score added. "
        "Ours are the mean over the queries that see a token and the sum over the last 32, each over its largest value per KV head. What EMS merges "
        "is evicted here."
    )

    def weightings(self, n: int) -> dict[str, np.ndarray]:
        """Every query counts 1."""
        return {EVERY_QUERY: np.ones(n)}

    def protected(self, n: int) -> int:
        """The window."""
        return min(self.window, n)

    def score(self, view: LayerView) -> Tensor:
        """Global and local part; the window itself above all."""
        n_groups, n, _ = view.key.shape
        window = min(self.window, n - 1)
        everything = per_kv_head(view.column_sum(EVERY_QUERY), n_groups) / torch.arange(
            n, 0, -1, device=view.key.device
        )
        parts = everything.float(), per_kv_head(view.last_rows(window).sum(1), n_groups)
        score = sum(part[:, : n - window] / part[:, : n - window].amax(-1, keepdim=True) for part in parts)
        assert isinstance(score, Tensor)
        return torch.nn.functional.pad(score, (0, window), value=float(score.max()) + 1)
