"""SparseVLM: visual tokens rated by the words of the question that matter for the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.visual_tokens.policies.base import Stage, VisualPolicy, highest
from analysis.visual_tokens.policies.layers import last_with_all, stage_counts

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView

PUBLISHED = ((66, 30, 17), (238, 48, 26), (303, 110, 36), (300, 200, 110), (576, 576, 576))
"""Tokens left after each stage in the first version of the code, of 576, for averages of 64, 96, 128, 192 and all."""
LAST = tuple(counts[2] / 576 for counts in PUBLISHED)
EARLIER = tuple(tuple(counts[i] / 576 for counts in PUBLISHED) for i in (0, 1))


@dataclass(frozen=True)
class SparseVLM(VisualPolicy):
    """Attention of the rating words in three layers, fewer tokens after each."""

    published: tuple[int, ...] = (2, 6, 15)

    name = "sparsevlm"
    label = "SparseVLM"
    source = "Zhang et al. 2024 (arXiv 2410.04417), scores and fixed lists of the first version of its code."
    formula = (
        "Raters: question tokens whose softmax(V T^T), over the question, averaged over visual tokens, is above the mean. "
        "s_i = mean over heads and raters of A[layer, rater, i], in layers 2, 6 and 15 of 32."
    )
    deviations = (
        "The second version's longer lists, and its choice of 14 heads, are not used. Attention is that of a pass with all "
        "tokens. What goes is not gathered again into new tokens. Cuts at the same depth; counts between the published lists on straight lines."
    )
    needs = ("attention", "question")

    def layers_read(self, n_layers: int) -> tuple[int, ...]:
        """Layers after which tokens go, rising or equal."""
        return last_with_all(self.published, n_layers)

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """Three stages, each among what the one before left."""
        raters = rating(view.features, view.part("question"))
        layers = self.layers_read(view.n_layers)
        counts = stage_counts(len(view), kept, LAST, EARLIER)
        found: list[Stage] = []
        for layer, count in zip(layers, counts, strict=True):
            score = view.attention[layer][:, raters].float().mean((0, 1))
            left = found[-1].kept if found else score.argsort().sort().values
            found.append(Stage(layer + 1, left[highest(score[left], count)]))
        return tuple(found)


def rating(features: Tensor, question: Tensor) -> Tensor:
    """Whether each token of the question rates, bool, (Q,), from (N, D) and (Q, D); all where none stands out."""
    weight = (features.float() @ question.float().T).softmax(1).mean(0)
    found = weight > weight.mean()
    return found if found.any() else ~found
