"""Tokens chosen by hand, gone from one layer on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import Policy

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class KnockOut(Policy):
    """Chosen tokens are gone from one layer on; all others stay."""

    tokens: tuple[int, ...] = ()
    """Positions in the context."""
    first_layer: int = 0
    """First layer, from 0, that no longer sees them; the number of layers hides nothing."""

    name = "knock-out"
    label = "knock-out"
    source = f"The text analogue of the information horizon of visual tokens, {cited('information_horizon')}; here for any tokens."

    def score(self, view: LayerView) -> Tensor:
        """All alike: the choice is made by hand."""
        return torch.zeros(1, view.n_tokens)

    def keep(self, scores: Tensor, budgets: np.ndarray) -> Tensor:
        """Everything but the chosen tokens in the later layers."""
        kept = torch.ones(scores.shape, dtype=torch.bool)
        kept[self.first_layer :, :, list(self.tokens)] = False
        return kept
