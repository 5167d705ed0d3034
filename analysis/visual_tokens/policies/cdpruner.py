"""CDPruner: tokens that are relevant to the question and unlike each other, by a determinantal point process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from analysis.visual_tokens.policies.base import Stage, VisualPolicy, best, cosines, relative
from analysis.visual_tokens.policies.divprune import spread

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView

_SMALLEST = 1e-8
"""Gain below which nothing is left but rounding."""
_ABOVE_ZERO = 1e-6
"""Relevance of the least relevant token."""


@dataclass(frozen=True)
class CDPruner(VisualPolicy):
    """Greedy choice of the tokens whose kernel has the largest determinant; relevance from the text tower."""

    negated: bool = True
    """Whether relevance is the negated cosine, as released."""

    name = "cdpruner"
    label = "CDPruner"
    source = "Zhang et al. 2025 (arXiv 2506.10967, NeurIPS 2025, Apache-2.0)."
    formula = (
        "L = diag(r) S diag(r), S cosine of features, r relevance to the question between 0 and 1. Greedy: j = argmax "
        "d2, e = (L_j - sum c_j c) / sqrt(d2_j), d2 = d2 - e^2."
    )
    deviations = (
        "Past the rank of S, where the released code gives no numbers, the choice goes on by the largest distance. "
        "Relevance is the negated cosine of patch and question, as in the code; the paper reads as if it were not."
    )
    needs: ClassVar[tuple[str, ...]] = ("patch_embeddings", "text_embedding")

    def relevance(self, view: VisualView) -> Tensor:
        """How relevant each token is to the question, (N,), before it is stretched."""
        found = cosines(view.part("patch_embeddings"), view.part("text_embedding")[None])[:, 0]
        return -found if self.negated else found

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """One stage before the language model."""
        similar = cosines(view.features)
        weight = relative(self.relevance(view).float()).clamp(min=_ABOVE_ZERO)
        chosen = determinantal(similar * weight[:, None] * weight, kept)
        return (Stage(0, torch.tensor(sorted(spread(1 - similar, kept, tuple(chosen))))),)


@dataclass(frozen=True)
class CDPrunerLike(CDPruner):
    """The same with the question as the language model reads it, for models without a text tower."""

    negated: bool = False

    name = "cdpruner_like"
    label = "CDPruner-like"
    deviations = (
        "There is no text tower: relevance is the cosine of a projected feature with the mean embedding of the question's "
        "tokens in the language model. Past the rank of S the choice goes on by the largest distance."
    )
    needs = ("question",)

    def relevance(self, view: VisualView) -> Tensor:
        """Cosine with the mean of the question's embeddings."""
        found = cosines(view.features, view.part("question").float().mean(0)[None])[:, 0]
        return -found if self.negated else found


def determinantal(kernel: Tensor, n: int) -> list[int]:
    """Greedy search for the n rows and columns with the largest determinant, in the order of choice.

    Parameters
    ----------
    kernel : torch.Tensor
        (N, N), symmetric, without negative eigenvalues.
    n : int

    Returns
    -------
    list of int
        Fewer where the gain falls to 1e-8: past the kernel's rank.
    """
    kernel = kernel.double()
    gain = kernel.diagonal().clone()
    rows = kernel.new_zeros(n, len(kernel))
    chosen: list[int] = []
    for t in range(n):
        j = best(gain.float())
        if gain[j] < _SMALLEST:
            break
        rows[t] = (kernel[j] - rows[:t, j] @ rows[:t]) / gain[j].sqrt()
        gain = gain - rows[t] ** 2
        gain[j] = -float("inf")
        chosen.append(j)
    return chosen
