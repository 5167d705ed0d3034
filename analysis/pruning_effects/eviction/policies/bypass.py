"""Layer bypass after SkipDecode: later tokens run fewer layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.kv_cache.capabilities import cache_facts
from analysis.kv_cache.eviction_attention import Special
from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import Policy

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView
    from analysis.kv_cache.prefill import Prefix
    from analysis.models.loading import LanguageModel


@dataclass(frozen=True)
class Bypass(Policy):
    """The first layer and the topmost ones, fewer for every later token; the cache stays whole."""

    n_warm: int = 1
    """Lowest layers that every token runs."""

    name = "bypass"
    label = "layer bypass (untrained)"
    deletes = False
    source = (
        f"After the abstract of SkipDecode, {cited('skipdecode')}, which fine-tunes the model for it; this one is not "
        "trained, so expect it to break. The number of layers a token runs falls linearly, the share is their mean. Skipped are the layers after "
        "the first; what a later token reads in a layer, earlier ones have written there."
    )

    def unsupported(self, model: LanguageModel) -> str:
        """Every layer must read the cache and nothing else of what came before."""
        facts = cache_facts(model)
        if facts.recurrent or facts.n_layers < model.info.n_layers:
            return (
                "It has layers without attention, which cannot be passed by: their state would miss tokens."
            )
        return ""

    def refuses(self, n: int, kept: float, n_layers: int) -> str:
        """One layer above the warm-up is the least."""
        if kept * n_layers >= self.n_warm + 1:
            return ""
        return f"It always runs {self.n_warm + 1} layers, more than this share of {n_layers} leaves."

    def score(self, view: LayerView) -> Tensor:
        """No token is better than another."""
        return torch.zeros(1, view.n_tokens)

    def keep(self, scores: Tensor, budgets: np.ndarray) -> Tensor:
        """Everything."""
        return torch.ones(scores.shape, dtype=torch.bool)

    def schedule(self, n_layers: int, kept: float, n_new: int) -> np.ndarray:
        """Layers each new token runs, int64, (m,): falling linearly around ``kept * n_layers``, rounded."""
        mean, least = kept * n_layers, self.n_warm + 1
        smallest = max(float(least), 2 * mean - n_layers)
        exact = np.linspace(2 * mean - smallest, smallest, n_new)
        return np.round(exact).astype(np.int64)

    def special(self, prefix: Prefix, keep: Tensor, kept: float, n_new: int) -> Special:
        """Which layers each new token runs."""
        n_layers = len(prefix.keys)
        runs = torch.from_numpy(self.schedule(n_layers, kept, n_new))
        layer = torch.arange(n_layers)[:, None]
        return Special(active=(layer < self.n_warm) | (layer >= n_layers - (runs - self.n_warm)))
