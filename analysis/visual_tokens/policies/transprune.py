"""TransPrune: how much, and how far away, the layers move a token, and what the question attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.visual_tokens.policies.base import Stage, VisualPolicy, highest
from analysis.visual_tokens.policies.layers import last_with_all, stage_counts

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class TransPrune(VisualPolicy):
    """Transition scores, summed over layers, plus attention of the question."""

    first: int = 6
    """First layer whose transitions count, of 32, from 0."""
    published: tuple[int, ...] = (6, 8, 11)
    """Layers after which tokens go, of 32, from 0."""

    name = "transprune"
    label = "TransPrune"
    source = "TransPrune, from the formula."
    formula = (
        "Per sublayer w = |out| / |in| * softmax over tokens of (1 - cos(in, out)); T sums w over layers 7 to 12; "
        "s = T / sum T + I / sum I, I = mean over heads and question rows of the attention; after layers 7, 9, 12 of "
        "32 stay 87.5, 62.5 and 12.5 %."
    )
    deviations = (
        "Transitions and attention are those of a pass with all tokens. Cuts at the same depth; above 12.5 % the "
        "earlier shares rise on straight lines. I is that of the last layer in T and the softmax is over visual tokens; "
        "in the released code I is one layer later and the softmax is over all tokens."
    )
    needs = ("sublayers", "attention")

    def layers_read(self, n_layers: int) -> tuple[int, ...]:
        """From the first layer that counts to the last after which tokens go."""
        marks = last_with_all(self.published, n_layers)
        start = min(last_with_all((self.first,), n_layers)[0], marks[0])
        return tuple(range(start, marks[-1] + 1))

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """Three stages, each among what the one before left."""
        read = self.layers_read(view.n_layers)
        counts = stage_counts(len(view), kept, (0.125, 1.0), ((0.875, 1.0), (0.625, 1.0)))
        left = torch.arange(len(view))
        found: list[Stage] = []
        for layer, count in zip(last_with_all(self.published, view.n_layers), counts, strict=True):
            moved = torch.stack([transitions(view.sublayers[i]) for i in read if i <= layer]).sum(0)
            seen = view.attention[layer].float().mean((0, 1))
            score = moved[left] / moved[left].sum() + seen[left] / seen[left].sum()
            left = left[highest(score, count)]
            found.append(Stage(layer + 1, left))
        return tuple(found)


def transitions(sublayers: tuple[tuple[Tensor, Tensor], ...]) -> Tensor:
    """Transition score of each token in one layer, (N,), summed over its sublayers.

    Parameters
    ----------
    sublayers : tuple
        For each, what entered after the norm and what came out before it was added, (N, D) each.
    """
    found = torch.zeros(len(sublayers[0][0]))
    for given, made in sublayers:
        given, made = given.float(), made.float()
        turned = 1 - torch.nn.functional.cosine_similarity(given, made, dim=1)
        found += made.norm(dim=1) / given.norm(dim=1).clamp(min=1e-12) * turned.softmax(0)
    return found
