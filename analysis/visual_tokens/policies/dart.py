"""DART: tokens least like a few pivots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.ties import ranked
from analysis.visual_tokens.policies.base import Stage, VisualPolicy, cosines, highest

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class DART(VisualPolicy):
    """Pivots by the length of their keys; each in turn adds the tokens that repeat it least."""

    k: int = 2
    image_pivots: int = 4
    text_pivots: int = 4

    name = "dart"
    label = "DART"
    source = "Wen et al. 2025 (arXiv 2502.11494, Apache-2.0)."
    formula = (
        "Pivots: the 4 visual and 4 text tokens with the largest L1 norm of their keys. Each adds the q tokens not "
        "yet taken whose states have the lowest cosine with its own; K = 2."
    )
    deviations = (
        "Keeps exactly the number that was chosen (the code keeps 4 more); pivots add in the order of falling "
        "norm (in the code in an order by chance), the first ones one token more where it does not divide; "
        "states are taken as they enter layer K, without the final norm."
    )
    needs = ("keys", "text_keys", "states", "text_states")

    def layers_read(self, n_layers: int) -> tuple[int, ...]:
        """Keys of the last layer that sees all, states after it."""
        return (self.k - 1, self.k)

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """Pivots and what they add, from layer K on."""
        norms = view.keys[self.k - 1].float().abs().sum(1)
        text_norms = view.text_keys[self.k - 1].float().abs().sum(1)
        own = highest(norms, min(self.image_pivots, kept))
        text = highest(text_norms, min(self.text_pivots, len(text_norms)))
        states = view.states[self.k]
        pivots = torch.cat([states[own], view.text_states[self.k][text]])
        order = ranked(torch.cat([norms[own], text_norms[text]]), len(pivots))[1]
        return (Stage(self.k, _added(cosines(pivots[order], states), own, kept)),)


def _added(similar: Tensor, own: Tensor, kept: int) -> Tensor:
    """What is kept, (kept,), from the cosines (P, N) of pivots in order and the visual ones among the pivots."""
    taken = torch.zeros(similar.shape[1], dtype=torch.bool)
    taken[own] = True
    each, more = divmod(kept - len(own), len(similar))
    for number, row in enumerate(similar):
        # 2 is added so that what counts as equal does not shrink with the cosine
        free = torch.where(taken, -float("inf"), 2 - row)
        taken[highest(free, each + (number < more))] = True
    return taken.nonzero()[:, 0]
