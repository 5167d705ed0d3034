"""HiRED: a budget for each crop by what the whole picture shows there, then attention of the class token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.visual_tokens.policies.base import Stage, VisualPolicy, highest

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class HiRED(VisualPolicy):
    """Half of the budget for the whole picture, the rest over its crops."""

    alpha: float = 0.5
    """Share of the budget for the whole picture."""

    name = "hired"
    label = "HiRED"
    source = "Arif et al. 2024 (arXiv 2408.10945)."
    formula = (
        "Whole picture: alpha of the budget. Crops: the rest in the proportions in which the top (1 - alpha) N_whole tokens "
        "of the whole picture, by the class token's attention in the tower's first layer, fall into them. Inside: "
        "class token's attention in the layer of the features, summed over heads."
    )
    deviations = "Budgets add up exactly: the largest remainders are rounded up, and what does not fit goes to the others."
    needs = ("crop", "cls_attention", "first_cls_attention")

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """One stage before the language model."""
        crop = view.part("crop")
        there = torch.bincount(crop)
        whole = (crop == 0).nonzero()[:, 0]
        first = view.part("first_cls_attention").float().sum(0)[whole]
        top = whole[highest(first, min(len(whole), int((1 - self.alpha) * len(whole))))]
        hits = torch.bincount(crop_at(view, top), minlength=len(there)).double()
        main = min(int(self.alpha * kept + 0.5), len(whole))
        main = max(main, kept - int(there[1:].sum()))
        budgets = [main, *shares(kept - main, hits[1:], there[1:])]
        score = view.part("cls_attention").float().sum(0)
        parts = []
        for number, budget in enumerate(budgets):
            own = (crop == number).nonzero()[:, 0]
            parts.append(own[highest(score[own], budget)])
        return (Stage(0, torch.cat(parts).sort().values),)


def crop_at(view: VisualView, tokens: Tensor) -> Tensor:
    """Crop that lies over the middle of each of some tokens of the whole picture."""
    crop = view.part("crop")
    found = []
    small, large = crop == 0, crop > 0
    for token in tokens.tolist():
        places = []
        for line in (view.row, view.column):
            of, into = int(line[small].max()) + 1, int(line[large].max()) + 1
            places.append((2 * int(line[token]) + 1) * into // (2 * of))
        here = large & (view.row == places[0]) & (view.column == places[1])
        found.append(int(crop[here][0]))
    return torch.tensor(found, dtype=torch.int64)


def shares(total: int, weights: Tensor, most: Tensor) -> list[int]:
    """Whole numbers in the proportions of some weights that sum to exactly ``total``, none above its most.

    Parameters
    ----------
    total : int
        At most the sum of ``most``.
    weights : torch.Tensor
        (n,), not negative; where all that still have room are 0, they count the same.
    most : torch.Tensor
        (n,) of int64.
    """
    found = torch.zeros_like(most)
    while True:
        missing, room = total - int(found.sum()), most - found
        weight = weights.double() * (room > 0)
        if not weight.sum() > 0:
            weight = (room > 0).double()
        wanted = weight / weight.sum().clamp(min=1e-300) * missing
        full = (wanted > room) & (room > 0)
        if full.any():
            found = torch.where(full, most, found)
            continue
        whole = (wanted + 1e-9).floor().long()
        whole[highest((wanted - whole).clamp(min=0), missing - int(whole.sum()))] += 1
        return [int(v) for v in found + whole]
