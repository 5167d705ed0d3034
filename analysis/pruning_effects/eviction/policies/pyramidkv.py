"""PyramidKV: SnapKV with larger budgets in the lower layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.budgets import equalised, kept_count
from analysis.pruning_effects.eviction.policies.snapkv import SnapKV


@dataclass(frozen=True)
class PyramidKV(SnapKV):
    """SnapKV's score with larger budgets in the lower layers."""

    beta: float = 20.0
    """The last layer's budget is the mean divided by this."""

    name = "pyramidkv"
    label = "PyramidKV"
    source = (
        f"{cited('pyramidkv')}. The published budgets add up to more than the share when they are rounded or clipped; here they "
        "keep their proportions and sum to exactly what every other method gets."
    )

    def published_budgets(self, n: int, kept: float, n_layers: int) -> np.ndarray:
        """Budgets as kvpress 0.5.5 computes them, int64, (L,)."""
        mean = n * (1 - (1 - kept))  # with its rounding
        smallest = mean / self.beta
        largest = 2 * mean - smallest
        if largest >= n - self.window:
            largest = n - self.window
            smallest = 2 * mean - largest
        if not n >= largest >= smallest >= self.window:
            return np.full(n_layers, max(1, round(mean)), np.int64)
        steps = (largest - smallest) / max(n_layers - 1, 1)
        return np.array([round(largest - layer * steps) for layer in range(n_layers)], np.int64)

    def remark(self, n: int, kept: float, n_layers: int) -> str:
        """How far the published budgets miss the share."""
        published, ours = (
            int(b.sum()) for b in (self.published_budgets(n, kept, n_layers), self.budgets(n, kept, n_layers))
        )
        if published == ours:
            return f"As published its budgets sum to the same {ours:,} tokens per KV head, over all layers."
        return (
            f"As published its budgets would sum to {published:,} tokens per KV head over all layers, {published / ours - 1:+.1%} "
            f"against everyone's {ours:,}; here they sum to the latter."
        )

    def budgets(self, n: int, kept: float, n_layers: int) -> np.ndarray:
        """The published budgets, equalised."""
        published = self.published_budgets(n, kept, n_layers)
        return equalised(published, n_layers * kept_count(n, kept), n)
