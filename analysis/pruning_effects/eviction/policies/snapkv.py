"""SnapKV: what the last queries attend to, smoothed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import Policy, per_kv_head
from analysis.pruning_effects.eviction.policies.observation import OBSERVATION

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class SnapKV(Policy):
    """What the last 64 queries attend to, smoothed along the text."""

    window: int = 64
    """Last queries that vote; their own tokens are always kept."""
    kernel: int = 5
    """Tokens averaged along the text."""

    controls = (OBSERVATION,)
    name = "snapkv"
    label = "SnapKV"
    source = f"{cited('snapkv')}, with kvpress's constants: window 64, average pooling over 5, mean over the window and the group."

    def protected(self, n: int) -> int:
        """The window."""
        return min(self.window, n)

    def score(self, view: LayerView) -> Tensor:
        """Pooled mean attention of the window; the window itself above all."""
        n = view.n_tokens
        window = min(self.window, n - 1)
        votes = view.last_rows(window)[..., : n - window].mean(1)
        pooled = functional.avg_pool1d(
            votes[:, None], self.kernel, stride=1, padding=self.kernel // 2, count_include_pad=True
        )[:, 0]
        score = per_kv_head(pooled, view.n_groups)
        return functional.pad(score, (0, window), value=float(score.max()) + 1)
