"""Down-sampling: the same picture with fewer, larger tokens; the control that a pruning method should beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.visual_tokens.policies.base import Stage, VisualPolicy

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class DownSampling(VisualPolicy):
    """Blocks of r x r tokens of the grid become their mean, at the block's mean place."""

    name = "downsampling"
    label = "down-sampling"
    source = "The control of VTC-Bench (arXiv 2510.07143, Apache-2.0)."
    formula = (
        "Token of a block = mean of the features of its r x r tokens; its position is the mean of theirs."
    )
    deviations = (
        "Published on pixels: the picture is made smaller before the processor. A model with a fixed grid undoes "
        "that, so the grid of features is made smaller here. Blocks at the edge are smaller where r does not "
        "divide the sides."
    )
    merges = True

    def refuses(self, view: VisualView, kept: int) -> str:
        """Only numbers of blocks can be kept."""
        sizes = {int(_blocks(view, r).max()) + 1: r for r in range(_longest(view), 0, -1)}
        if kept in sizes:
            return ""
        return f"Blocks of this grid leave {', '.join(str(n) for n in sorted(sizes))} tokens."

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """The means, before the language model; the smallest r where several leave so many."""
        block = next(
            b for r in range(1, _longest(view) + 1) if int((b := _blocks(view, r)).max()) + 1 == kept
        )
        mix = torch.nn.functional.one_hot(block, kept).T.float()
        first = mix.argmax(1)
        order = first.argsort()
        return (Stage(0, first[order], (mix / mix.sum(1, keepdim=True))[order], centred=True),)


def _longest(view: VisualView) -> int:
    return int(torch.maximum(view.row, view.column).max()) + 1


def _blocks(view: VisualView, r: int) -> Tensor:
    """Number of the block that each token lies in, (N,); crops are never mixed."""
    crop = torch.zeros_like(view.row) if view.crop is None else view.crop
    places = torch.stack([crop, view.row // r, view.column // r], 1)
    return torch.unique(places, dim=0, return_inverse=True)[1]
