"""GlobalCom2: the whole picture says how much of each crop is worth keeping, and helps to choose inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.visual_tokens.policies.base import Stage, VisualPolicy, highest
from analysis.visual_tokens.policies.hired import crop_at, shares

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class GlobalCom2(VisualPolicy):
    """Richer crops keep a larger share of their tokens; local and global scores of the class token add up."""

    temperature: float = 10.0
    """Divides the sums of the crops' scores before the softmax."""

    name = "globalcom2"
    label = "GlobalCom2"
    source = "Liu et al. 2025, Global Compression Commander (arXiv 2501.05179), from the formula."
    formula = (
        "g = class token's scores before the softmax, mean over heads. Crop c keeps the share R (1 + w_c - mean w), at most "
        "1, w = softmax over crops of (sum of g of the whole picture inside c) / 10. Inside: g of the crop and g of the whole "
        "picture there, each at length 1, added. The whole picture keeps the share R by its own g."
    )
    deviations = (
        "Tokens add up exactly: shares become numbers by the largest remainders, and what does not fit goes to other crops. "
        "A score of the whole picture counts for the crop over its middle; between its tokens it is bilinear."
    )
    needs = ("crop", "cls_logits")

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """One stage before the language model."""
        crop = view.part("crop")
        score = view.part("cls_logits").float().mean(0)
        there = torch.bincount(crop)
        whole = (crop == 0).nonzero()[:, 0]
        inside = torch.zeros(len(there)).index_add_(0, crop_at(view, whole), score[whole])[1:]
        weight = (inside / self.temperature).softmax(0)
        ratio = kept / len(view)
        share = torch.cat([torch.tensor([ratio]), (ratio * (1 + weight - weight.mean())).clamp(max=1)])
        budgets = shares(kept, share * there, there)
        everywhere = spread_over(view, score[whole])
        parts = []
        for number, budget in enumerate(budgets):
            own = (crop == number).nonzero()[:, 0]
            rating = score[own] if number == 0 else _at_length_1(score[own]) + _at_length_1(everywhere[own])
            parts.append(own[highest(rating, budget)])
        return (Stage(0, torch.cat(parts).sort().values),)


def spread_over(view: VisualView, values: Tensor) -> Tensor:
    """Values of the whole picture's tokens, in their order, at the places of all tokens, bilinear: (N,)."""
    small = view.part("crop") == 0
    sides = [[int(line[tokens].max()) + 1 for line in (view.row, view.column)] for tokens in (small, ~small)]
    grid = torch.zeros(sides[0])
    grid[view.row[small], view.column[small]] = values
    larger = torch.nn.functional.interpolate(grid[None, None], tuple(sides[1]), mode="bilinear")[0, 0]
    # crops count on over the picture; the whole picture's own tokens get their own
    found = larger[view.row.clamp(max=sides[1][0] - 1), view.column.clamp(max=sides[1][1] - 1)]
    found[small] = values
    return found


def _at_length_1(values: Tensor) -> Tensor:
    return torch.nn.functional.normalize(values, dim=0)
