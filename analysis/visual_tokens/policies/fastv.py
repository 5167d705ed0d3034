"""FastV: what the last token of the question attends to in an early layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.visual_tokens.policies.base import ScoredPolicy

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class FastV(ScoredPolicy):
    """Attention of the last query in layer K - 1, mean over heads; the others are gone from layer K on."""

    k: int = 2

    name = "fastv"
    label = "FastV"
    source = "Chen et al. 2024 (arXiv 2403.06764). No licence: from the formula."
    formula = "s_i = mean over heads of A[K - 1, last query, i]; K = 2."
    deviations = "The paper's text averages over all queries; as in its code, the last one counts."
    needs = ("attention",)

    def layers_read(self, n_layers: int) -> tuple[int, ...]:
        """The last layer that sees all."""
        return (self.k - 1,)

    def first_layer(self) -> int:
        """K."""
        return self.k

    def score(self, view: VisualView) -> Tensor:
        """The last row's mean over heads."""
        return view.attention[self.k - 1][:, -1].float().mean(0)
