"""Any tokens: what every other method must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from analysis.visual_tokens.policies.base import VisualPolicy, VisualView, marked


@dataclass(frozen=True)
class RandomTokens(VisualPolicy):
    """Every choice is equally likely."""

    name: ClassVar[str] = "random"
    label: ClassVar[str] = "Random"
    source: ClassVar[str] = "A control."
    is_random: ClassVar[bool] = True

    def choose(self, view: VisualView, budget: int, seed: int) -> Tensor:
        """Draw without putting back, from the seed alone."""
        order = torch.randperm(view.n, generator=torch.Generator().manual_seed(seed))
        return marked(order[:budget].to(view.features.device), view.n)
