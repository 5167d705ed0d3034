"""Keyformer: attention sums under Gumbel noise, so that no token is sure to be forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from analysis.forward.attention import attend
from analysis.kv_cache.capabilities import cache_facts
from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import by_kv_head, per_kv_head, with_newest
from analysis.pruning_effects.eviction.policies.h2o import H2O

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView
    from analysis.models.loading import LanguageModel


@dataclass(frozen=True)
class Keyformer(H2O):
    """H2O on noisy scores, with three tenths of the budget for the newest tokens."""

    recent_share: float = 0.3
    draw: int = 0
    """Seed of the noise: one number per layer, KV head and token."""

    name = "keyformer"
    label = "Keyformer"
    source = (
        f"{cited('keyformer')}: column sums of softmax(score + Gumbel noise of the key), newest 30 % of the budget kept. "
        "The temperature is 1 for the queries of a prompt and rises to 2 only while generating. Noise is drawn per KV head, from a fixed seed."
    )

    def unsupported(self, model: LanguageModel) -> str:
        """Noise rides on the scores as one more channel of the keys, which a soft cap would bend."""
        if cache_facts(model).softcap:
            return "It caps its attention scores, and the noise belongs after the cap."
        return ""

    def weightings(self, n: int) -> dict:
        """None: the sums are those of another softmax."""
        return {}

    def noise(self, layer: int, n_groups: int, n: int) -> Tensor:
        """Standard Gumbel draws, (G, n)."""
        generator = torch.Generator().manual_seed(self.draw + 1000 * layer)
        uniform = torch.rand(n, n_groups, generator=generator).T  # by token, so that longer texts begin alike
        return -torch.log(-torch.log(uniform.clamp(1e-10, 1 - 1e-7)))

    def score(self, view: LayerView) -> Tensor:
        """Column sum of the noisy softmax."""
        n_groups, n, _ = view.key.shape
        noise = self.noise(view.layer, n_groups, n).to(view.key.device)
        query = functional.pad(view.query.float(), (0, 1), value=1 / view.scale)
        noisy = attend(
            query,
            torch.cat([view.key.float(), noise[..., None]], -1),
            torch.zeros(n_groups, n, 1, device=noise.device),
            scale=view.scale,
            span=view.span,
            sink_logits=view.sink_logits,
        )
        return per_kv_head(noisy.columns[:, 0], n_groups).float()

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int) -> Tensor:
        """The same at a temperature that rises from 1 to 2 over the new tokens.

        With attention w the noisy softmax at temperature a is w^(1/a) exp(noise / a), normalised; a learned sink's share takes part
        without noise.
        """
        n_layers, n_groups, n = scores.shape
        temperature = 1 + (t + 1) / n_new
        noise = torch.stack([self.noise(layer, n_groups, n + 1) for layer in range(n_layers)])
        noise = noise.repeat_interleave(weights.shape[1] // n_groups, 1)
        sink = (1 - weights.sum(-1, keepdim=True)).clamp(min=0)
        sink = torch.where(sink < 1e-5, 0.0, sink)  # rounding, where there is none
        noisy = weights.pow(1 / temperature) * (noise / temperature).exp()
        noisy = noisy / (noisy.sum(-1, keepdim=True) + sink.pow(1 / temperature))
        return with_newest(scores, 0.0) + by_kv_head(noisy, n_groups)
