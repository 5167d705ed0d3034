"""Random tokens: what every method has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.visual_tokens.policies.base import ScoredPolicy

if TYPE_CHECKING:
    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class Random(ScoredPolicy):
    """Uniformly random tokens. A larger number keeps what a smaller one keeps, for the same seed."""

    seed: int = 0
    layer: int = 0

    name = "random"
    label = "random"
    source = "A control."
    formula = "The highest of N uniform draws."
    is_random = True

    def first_layer(self) -> int:
        """Where they go, before the language model by default."""
        return self.layer

    def score(self, view: VisualView) -> Tensor:
        """Uniform draws of a generator of its own."""
        return torch.rand(len(view), generator=torch.Generator().manual_seed(self.seed))


@dataclass(frozen=True)
class RandomInside(Random):
    """Random tokens inside the language model: what a method there has to beat, since its layer alone may help."""

    layer: int = 2

    name = "random_inside"
    label = "random from layer 2"
    formula = "The highest of N uniform draws; layers 0 and 1 see all, as under FastV, DART and EntropyPrune."
