"""CriticalKV: how much a token's value would write into the residual stream, beside who attends to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.kv_cache.capabilities import cache_facts
from analysis.models.output_projection import output_projection, projected
from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import per_kv_head
from analysis.pruning_effects.eviction.policies.snapkv import SnapKV
from analysis.ties import keep_top

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView
    from analysis.models.loading import LanguageModel


@dataclass(frozen=True)
class CriticalKV(SnapKV):
    """Half the budget by SnapKV's score, half by score times |W_O v|."""

    epsilon: float = 1e-4
    """Added to the score before the norm is multiplied in."""
    first_share: float = 0.5
    """Share of the budget that the score alone decides."""

    name = "criticalkv"
    label = "CriticalKV"
    source = (
        f"{cited('criticalkv')} on SnapKV's score, with kvpress's constants: half the budget by the score, the rest by "
        "(score + 1e-4) times the absolute norm |W_O v|_1, mean over the group."
    )

    def unsupported(self, model: LanguageModel) -> str:
        """The output projection must be found."""
        facts = cache_facts(model)
        found = output_projection(facts.first, facts.n_heads * facts.value_size)
        return "" if found is not None else "No output projection of its attention was found."

    def score(self, view: LayerView) -> Tensor:
        """SnapKV's score and the same times the norm, (2, G, n)."""
        score = super().score(view)
        return torch.stack([score, (score + self.epsilon) * value_norms(view)])

    def keep(self, scores: Tensor, budgets: np.ndarray) -> Tensor:
        """First by the score alone, then by the other one."""
        by_score, by_value = scores[:, 0], scores[:, 1].clone()
        for layer, budget in enumerate(budgets):
            by_value[layer, keep_top(by_score[layer], max(1, int(budget * self.first_share)))] = torch.inf
        return super().keep(by_value, budgets)


def value_norms(view: LayerView) -> Tensor:
    """Sum of absolute values of W_O v per KV head and token, mean over the group's query heads, (G, n)."""
    n_heads = len(view.query)
    found = output_projection(view.module, n_heads * view.value.shape[-1])
    assert found is not None  # or the method would have been unsupported
    norms = [own.abs().sum(-1) for own in projected(found[1], view.value, n_heads)]
    return per_kv_head(torch.stack(norms), view.n_groups)
