"""DivPrune: tokens as far from each other as can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.visual_tokens.policies.base import Stage, VisualPolicy, best, cosines

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class DivPrune(VisualPolicy):
    """Greedy max-min diversity of the projected features."""

    name = "divprune"
    label = "DivPrune"
    source = "Alvar et al. 2025 (arXiv 2503.02175). Non-commercial licence: from the formula."
    formula = (
        "d_ij = 1 - cos(v_i, v_j). First: the largest distance to its nearest neighbour; then again and again "
        "the largest distance to the nearest of those chosen."
    )

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """One stage before the language model."""
        chosen = spread(1 - cosines(view.features), kept)
        return (Stage(0, torch.tensor(sorted(chosen))),)


def spread(distances: Tensor, n: int, chosen: tuple[int, ...] = ()) -> list[int]:
    """Go on choosing what lies farthest from all that is chosen.

    Parameters
    ----------
    distances : torch.Tensor
        (N, N), 0 to 2.
    n : int
        How many are chosen in the end.
    chosen : tuple of int
        What is chosen already.

    Returns
    -------
    list of int
        In the order of choice. Of tokens equally far, to about 1e-6, the earliest.
    """
    found = list(chosen)
    if not found:
        others = distances.clone()
        others.fill_diagonal_(float("inf"))
        # 1 is added so that what counts as equal does not shrink with the distance
        found = [best(1 + others.amin(1).clamp(max=2))]
    nearest = distances[found].amin(0)
    nearest[found] = -float("inf")
    while len(found) < n:
        j = best(1 + nearest)
        found.append(j)
        nearest = torch.minimum(nearest, distances[j])
        nearest[j] = -float("inf")
    return found
