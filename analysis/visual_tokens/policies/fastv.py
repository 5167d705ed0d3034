"""FastV: tokens that the last row attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from analysis.ties import keep_top
from analysis.visual_tokens.policies.base import VisualPolicy, VisualView


@dataclass(frozen=True)
class FastV(VisualPolicy):
    """Attention of the last token of the text in the layer before, mean over heads."""

    name: ClassVar[str] = "fastv"
    label: ClassVar[str] = "FastV"
    source: ClassVar[str] = (
        "Chen et al. 2024, An image is worth 1/2 tokens after layer 2 (arXiv 2403.06764). The last row, as in the released"
        " code; the paper's text says the mean over all rows. Positions stay."
    )
    needs: ClassVar[tuple[str, ...]] = ("features", "attention")

    def choose(self, view: VisualView, budget: int, seed: int) -> Tensor:
        """Keep what is attended to most."""
        assert view.attention is not None
        return keep_top(view.attention[-1], budget)
