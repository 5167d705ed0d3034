"""DivPrune: tokens that are far from one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, inf, tensor

from analysis.visual_tokens.policies.base import VisualPolicy, VisualView, cosines, farthest, marked


@dataclass(frozen=True)
class DivPrune(VisualPolicy):
    """Greedy max-min: first the token whose nearest neighbour is farthest, then always the farthest from all chosen."""

    name: ClassVar[str] = "divprune"
    label: ClassVar[str] = "DivPrune"
    source: ClassVar[str] = (
        "Alvar et al. 2025, DivPrune (arXiv 2503.02175): distance 1 - cosine of projected features, before the language"
        " model. Written from the formula. Tokens stay in their order, as in the released code."
    )

    def choose(self, view: VisualView, budget: int, seed: int) -> Tensor:
        """Choose by the cosines of the features."""
        close = cosines(view.features).fill_diagonal_(-inf)
        first = int(close.amax(0).argmin())
        return marked(tensor(farthest(close, [first], budget), device=close.device), view.n)
