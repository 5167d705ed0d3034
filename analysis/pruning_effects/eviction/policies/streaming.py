"""StreamingLLM: the first tokens and a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import Policy, newest_first, with_newest

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class Streaming(Policy):
    """The first few tokens and the newest."""

    n_sink: int = 4

    stepwise = True
    name = "streaming"
    label = "sinks + window"
    source = (
        f"StreamingLLM, {cited('streamingllm')}: 4 first tokens and a window. Here keys keep their original "
        "positions; the published one counts positions inside the cache, see the re-rotated variant."
    )

    def protected(self, n: int) -> int:
        """The first tokens."""
        return min(self.n_sink, n)

    def score(self, view: LayerView) -> Tensor:
        """First tokens above all, then later is higher."""
        score = newest_first(view.n_tokens)
        score[:, : self.n_sink] = torch.inf
        return score

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int) -> Tensor:
        """The newest is the highest but for the first ones."""
        return with_newest(scores, scores.shape[-1])
