"""A window: the newest tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import Policy, newest_first, with_newest

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class Window(Policy):
    """The newest tokens."""

    stepwise = True
    name = "window"
    label = "window"
    source = f"A sliding window over the cache; the baseline that StreamingLLM starts from, {cited('streamingllm')}."

    def score(self, view: LayerView) -> Tensor:
        """Later is higher."""
        return newest_first(view.n_tokens)

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int) -> Tensor:
        """The newest is the highest."""
        return with_newest(scores, scores.shape[-1])
