"""Methods that ask the last queries: TOVA, SnapKV, PyramidKV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from analysis.pruning_effects.budgets import equalised, kept_count
from analysis.pruning_effects.policies.base import Policy, per_kv_head

if TYPE_CHECKING:
    from analysis.forward.prefix import LayerReading


@dataclass(frozen=True)
class Tova(Policy):
    """What the last query attends to, mean over all heads."""

    stepwise = True
    name = "tova"
    label = "TOVA"
    source = "Oren et al. 2024 (arXiv 2401.06104): attention of the last query, mean over heads, one kept set per layer; the last token stays."

    def protected(self, n: int) -> int:
        """The last token."""
        return 1

    def score(self, reading: LayerReading, sums: dict[str, Tensor], seed: int) -> Tensor:
        """The last row."""
        score = reading.last_rows(1)[:, 0].mean(0, keepdim=True)
        score[:, -1] = torch.inf
        return score

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int, seed: int) -> Tensor:
        """The newest row alone; as published, the newest token is not protected here."""
        return weights.mean(1, keepdim=True).expand(-1, scores.shape[1], -1)


@dataclass(frozen=True)
class SnapKV(Policy):
    """What the last 64 queries attend to, smoothed along the text."""

    window: int = 64
    """Last queries that vote; their own tokens are always kept."""
    kernel: int = 5
    """Tokens averaged along the text."""

    name = "snapkv"
    label = "SnapKV"
    source = "Li et al. 2024 (arXiv 2404.14469), with kvpress's constants: window 64, average pooling over 5, mean over the window and the group."

    def protected(self, n: int) -> int:
        """The window."""
        return min(self.window, n)

    def score(self, reading: LayerReading, sums: dict[str, Tensor], seed: int) -> Tensor:
        """Pooled mean attention of the window; the window itself above all."""
        n = reading.key.shape[1]
        window = min(self.window, n - 1)
        votes = reading.last_rows(window)[..., : n - window].mean(1)
        pooled = functional.avg_pool1d(
            votes[:, None], self.kernel, stride=1, padding=self.kernel // 2, count_include_pad=True
        )[:, 0]
        score = per_kv_head(pooled, reading.key.shape[0])
        return functional.pad(score, (0, window), value=float(score.max()) + 1)


@dataclass(frozen=True)
class PyramidKV(SnapKV):
    """SnapKV's score with larger budgets in the lower layers."""

    beta: float = 20.0
    """The last layer's budget is the mean divided by this."""

    name = "pyramidkv"
    label = "PyramidKV"
    source = (
        "Cai et al. 2024 (arXiv 2406.02069). The published budgets add up to more than the share when they are rounded or clipped; here they "
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

    def budgets(self, n: int, kept: float, n_layers: int) -> np.ndarray:
        """The published budgets, equalised."""
        published = self.published_budgets(n, kept, n_layers)
        return equalised(published, n_layers * kept_count(n, kept), n)
