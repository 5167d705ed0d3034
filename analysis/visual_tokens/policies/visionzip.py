"""VisionZip: what the vision tower attends to, and the rest gathered into a few tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.visual_tokens.policies.base import Stage, VisualPolicy, cosines, highest

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class VisionZip(VisualPolicy):
    """Dominant tokens by the class token's attention, contextual ones by merging."""

    contextual: float = 10 / 64
    """Share of the tokens kept that are merged from the rest."""

    name = "visionzip"
    label = "VisionZip"
    source = "Yang et al. 2024 (arXiv 2412.04467)."
    formula = (
        "Dominant: the largest sum over heads of the class token's attention. Of the rest every s-th is a target; "
        "each other one goes to the target with the most similar key; contextual token = target + mean of its own."
    )
    deviations = (
        "The share of contextual tokens is that of its smallest setting (10 of 64), rounded down; the class token "
        "itself is not kept, since the language model never gets it. Mixing happens on projected features."
    )
    needs = ("cls_attention", "tower_keys")
    merges = True

    def ranking(self, view: VisualView) -> Tensor:
        """Attention that each token gets in the tower, (N,)."""
        return view.part("cls_attention").float().sum(0)

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """One stage before the language model, contextual tokens at the place of their target."""
        n = len(view)
        n_targets = min(int(kept * self.contextual), n - kept)
        dominant = torch.zeros(n, dtype=torch.bool)
        dominant[highest(self.ranking(view), kept - n_targets)] = True
        rest = (~dominant).nonzero()[:, 0]
        mix = torch.eye(n)
        if n_targets:
            targets = rest[:: len(rest) // n_targets][:n_targets]
            others = rest[~torch.isin(rest, targets)]
            keys = view.part("tower_keys")
            # among targets equally near, the earliest
            nearest = [int(highest(2 + row, 1)[0]) for row in cosines(keys[others], keys[targets])]
            goes_to = torch.nn.functional.one_hot(
                torch.tensor(nearest, dtype=torch.int64), n_targets
            ).T.float()
            mean = goes_to / goes_to.sum(1, keepdim=True).clamp(min=1)
            mix[targets[:, None], others] = mean
            dominant[targets] = True
        left = dominant.nonzero()[:, 0]
        return (Stage(0, left, mix[left]),)


@dataclass(frozen=True)
class VisionZipReceived(VisionZip):
    """The same for towers without a class token."""

    name = "visionzip_received"
    label = "VisionZip, attention received"
    formula = VisionZip.formula.replace(
        "the class token's attention", "the mean attention received from all patches"
    )
    deviations = (
        "There is no class token: attention received, the column mean, stands for it. " + VisionZip.deviations
    )
    needs = ("tower_attention", "tower_keys")

    def ranking(self, view: VisualView) -> Tensor:
        """Column mean, summed over heads."""
        return view.part("tower_attention").float().mean(1).sum(0)
