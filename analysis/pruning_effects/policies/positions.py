"""Methods that look at positions only: full cache, window, first tokens and window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.pruning_effects.policies.base import Policy, with_newest

if TYPE_CHECKING:
    from analysis.forward.prefix import LayerReading


def _newest_first(n: int) -> Tensor:
    return torch.arange(n, dtype=torch.float32)[None]


@dataclass(frozen=True)
class Full(Policy):
    """Nothing is evicted: the reference."""

    name = "full"
    label = "full cache"
    source = "The model as it is."

    def score(self, reading: LayerReading, sums: dict[str, Tensor], seed: int) -> Tensor:
        """All alike."""
        return torch.zeros(1, reading.key.shape[1])

    def budgets(self, n: int, kept: float, n_layers: int) -> np.ndarray:
        """Everything, whatever share is asked for."""
        return super().budgets(n, 1.0, n_layers)


@dataclass(frozen=True)
class Window(Policy):
    """The newest tokens."""

    stepwise = True
    name = "window"
    label = "window"
    source = "A sliding window over the cache; the baseline that StreamingLLM (arXiv 2309.17453) starts from."

    def score(self, reading: LayerReading, sums: dict[str, Tensor], seed: int) -> Tensor:
        """Later is higher."""
        return _newest_first(reading.key.shape[1])

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int, seed: int) -> Tensor:
        """The newest is the highest."""
        return with_newest(scores, scores.shape[-1])


@dataclass(frozen=True)
class SinksAndWindow(Policy):
    """The first few tokens and the newest."""

    n_sink: int = 4

    stepwise = True
    name = "streaming"
    label = "sinks + window"
    source = (
        "StreamingLLM, Xiao et al. 2023 (arXiv 2309.17453): 4 first tokens and a window. Here keys keep their original "
        "positions; the published one counts positions inside the cache, see the re-rotated variant."
    )

    def protected(self, n: int) -> int:
        """The first tokens."""
        return min(self.n_sink, n)

    def score(self, reading: LayerReading, sums: dict[str, Tensor], seed: int) -> Tensor:
        """First tokens above all, then later is higher."""
        score = _newest_first(reading.key.shape[1])
        score[:, : self.n_sink] = torch.inf
        return score

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int, seed: int) -> Tensor:
        """The newest is the highest but for the first ones."""
        return with_newest(scores, scores.shape[-1])
