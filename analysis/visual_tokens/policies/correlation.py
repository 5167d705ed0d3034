"""Correlation-guided: each crop's budget by how much its patches repeat each other, then what stands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.visual_tokens.policies.base import Stage, VisualPolicy, cosines, highest
from analysis.visual_tokens.policies.hired import shares

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class CorrelationGuided(VisualPolicy):
    """Fewer tokens for a crop that repeats itself; in it outliers of the class token's attention, then an even sample."""

    alike: float = 0.8
    """Cosine of keys from which one patch repeats another."""
    fence: float = 1.5
    """Attention above the third quartile by so many times the distance between the quartiles stands out."""

    name = "correlation_guided"
    label = "correlation-guided budget"
    source = "Token-level correlation-guided compression; its abstract, no code."
    formula = (
        "Redundancy of a crop = share of its patches whose key has cosine >= .8 with an earlier one's; budget in proportion "
        "to the others. Inside: outliers of the class token's attention, highest first; the rest evenly over the crop."
    )
    deviations = (
        "Published as an idea: the cosine from which patches repeat, the fence for outliers, and an exact sum are choices "
        "made here. With one picture and no crops the budget is the chosen number."
    )
    needs = ("tower_keys", "cls_attention")

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """One stage before the language model."""
        crop = torch.zeros_like(view.row) if view.crop is None else view.crop
        members = [(crop == i).nonzero()[:, 0] for i in range(int(crop.max()) + 1)]
        keys = view.part("tower_keys")
        own = torch.tensor([distinct(keys[m], self.alike) for m in members])
        budgets = shares(kept, own, torch.tensor([len(m) for m in members]))
        attention = view.part("cls_attention").float().sum(0)
        found = [m[self.inside(attention[m], n)] for m, n in zip(members, budgets, strict=True)]
        return (Stage(0, torch.cat(found).sort().values),)

    def inside(self, attention: Tensor, n: int) -> Tensor:
        """Numbers of the n tokens of one crop, rising, from the class token's attention on it."""
        taken = torch.zeros(len(attention), dtype=torch.bool)
        if n:
            low, high = torch.quantile(attention, torch.tensor([0.25, 0.75]))
            out = attention > high + self.fence * (high - low)
            first = min(n, int(out.sum()))
            taken[highest(torch.where(out, attention, -float("inf")), first)] = True
            rest = (~taken).nonzero()[:, 0]
            more = n - first
            if more:
                taken[rest[torch.arange(more) * len(rest) // more]] = True
        return taken.nonzero()[:, 0]


def distinct(keys: Tensor, alike: float) -> int:
    """How many of some keys, (n, d), repeat no earlier one."""
    repeats = (cosines(keys) >= alike).tril(-1).any(1)
    return int((~repeats).sum())
