"""SparseVLM: attention of those words of the question that belong to the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from analysis.ties import keep_top
from analysis.visual_tokens.policies.base import VisualPolicy, VisualView


def raters(features: Tensor, text_features: Tensor) -> Tensor:
    """Mark the words whose share of the image's similarity is above the mean: (m,) of bool.

    Parameters
    ----------
    features, text_features : torch.Tensor
        (n, D) and (m, D). Each visual token spreads its weight over the words (softmax of inner products).
    """
    share = (features.double() @ text_features.double().T).softmax(-1).mean(0)
    return share >= share.mean()


@dataclass(frozen=True)
class SparseVLM(VisualPolicy):
    """Attention on visual tokens, mean over heads and over the words that rate."""

    name: ClassVar[str] = "sparsevlm"
    label: ClassVar[str] = "SparseVLM, without recycling"
    source: ClassVar[str] = (
        "Zhang et al. 2024, SparseVLM (arXiv 2410.04417). Chooses tokens only: what is dropped is not merged into new"
        " tokens, and one layer is pruned instead of three."
    )
    needs: ClassVar[tuple[str, ...]] = ("features", "text_features", "attention")

    def choose(self, view: VisualView, budget: int, seed: int) -> Tensor:
        """Keep what the raters attend to most."""
        assert view.attention is not None and view.text_features is not None
        return keep_top(view.attention[raters(view.features, view.text_features)].mean(0), budget)
