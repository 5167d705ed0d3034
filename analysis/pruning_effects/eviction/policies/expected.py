"""Expected attention: what queries of the future would attend to, from the statistics of past ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from analysis.kv_cache.rotary import turned
from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import Policy, per_kv_head

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class Expected(Policy):
    """Attention that a Gaussian query at the next positions would pay, times the value's norm."""

    n_future: int = 512
    """Positions after the context over which the rotary turn is averaged."""
    n_sink: int = 4
    """First tokens, left out of the statistics and always kept."""
    epsilon: float = 0.0
    """Added to the expected attention before the value's norm is multiplied in."""

    name = "expected"
    label = "expected attention"
    source = f"{cited('expected_attention')}, with kvpress's constants: mean and covariance of the queries, 512 positions ahead, value norms, 4 first tokens kept."

    def protected(self, n: int) -> int:
        """The first tokens."""
        return min(self.n_sink, n)

    def score(self, view: LayerView) -> Tensor:
        """Expected attention times value norm; the first tokens above all."""
        n = view.n_tokens
        first = min(self.n_sink, n - 1)
        queries = view.query_before_positions[:, first:]
        mean = queries.mean(1)
        centred = queries - mean[:, None]
        cov = centred.transpose(1, 2) @ centred / centred.shape[1]
        mean, cov = self._ahead(view, mean, cov, n)
        keys = view.key[:, first:].float().repeat_interleave(view.per_group, 0)
        logit = (keys @ mean[..., None])[..., 0] * view.scale
        logit += 0.5 * view.scale**2 * ((keys @ cov) * keys).sum(-1)
        weights = per_kv_head(logit.softmax(-1), view.n_groups)
        score = (weights + self.epsilon) * torch.linalg.vector_norm(view.value[:, first:].float(), dim=-1)
        return functional.pad(score, (first, 0), value=float(score.max()) + 1)

    def _ahead(self, view: LayerView, mean: Tensor, cov: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Turn mean and covariance by the average rotation over the next positions."""
        if view.rotation is None:
            return mean, cov
        cos, sin = view.rotation.at(torch.arange(n, n + self.n_future))
        same = torch.eye(mean.shape[-1], device=cos.device)
        turn = turned(same, cos.mean(0), sin.mean(0), view.rotation.layout).to(mean.device)
        return mean @ turn, turn.T @ cov @ turn
