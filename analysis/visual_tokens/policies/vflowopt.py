"""VFlowOpt: what the patches that the tower attends to attend to; the next best are gathered over a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from analysis.ties import ranked
from analysis.visual_tokens.policies.base import Stage, VisualPolicy

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class VFlowOpt(VisualPolicy):
    """Importance from attention and grey levels; of the tokens kept a part are means over the cells of a grid."""

    alpha: float = 1.0
    """Weight of the grey levels' entropy."""
    global_from: float = 1.0
    """A patch is global if it gets so many times the mean attention."""
    recycled: float = 0.1
    """Share of the tokens kept that are gathered from the next best, at most."""

    name = "vflowopt"
    label = "VFlowOpt-style"
    source = "Yang et al. 2025, VFlowOpt (arXiv 2508.05211). No licence: from the formula."
    formula = (
        "s = mean of the attention rows of global patches (received attention above t times the mean) + alpha softmax of "
        "the grey levels' entropy; the highest stay, and the next best become one mean for each cell of an m x m grid."
    )
    deviations = (
        "t, alpha and m come out of a search for each model that is not repeated: 1, 1 and a tenth of the number kept. Next "
        "best are as many again as are kept. Only what happens before the language model: pruning in two of its layers, "
        "also searched for, is left out. Tower attention is that of the layer whose features are used."
    )
    needs: ClassVar[tuple[str, ...]] = ("tower_attention", "grey_entropy")
    merges = True

    def ranking(self, view: VisualView) -> Tensor:
        """Importance of each token, (N,)."""
        found = global_rows(view.part("tower_attention"), self.global_from)
        return found + self.alpha * view.part("grey_entropy").float().softmax(0)

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """One stage before the language model; a mean stands at the place of its best token."""
        order = ranked(self.ranking(view).float(), len(view))[1]
        groups = self.next_best(view, order, kept)
        first = order[: kept - len(groups)]
        gathered = torch.zeros(len(groups), len(view))
        for row, members in zip(gathered, groups, strict=True):
            row[members] = 1 / len(members)
        place = torch.cat([first, *(members[:1] for members in groups)])
        mix = torch.cat([torch.eye(len(view))[first], gathered])
        rising = place.argsort()
        return (Stage(0, place[rising], mix[rising]),)

    def next_best(self, view: VisualView, order: Tensor, kept: int) -> list[Tensor]:
        """Tokens of each cell that are gathered into one, best first, from all by falling importance."""
        m = math.isqrt(int(self.recycled * kept))
        if not m:
            return []
        cell, first = grid_cells(view, m), kept - m * m
        # one token more that stays takes at most one cell away: somewhere the two meet
        while len(cells := cell[order[first : 2 * kept]].unique()) != kept - first:
            first += 1
        rest = order[first : 2 * kept]
        return [rest[cell[rest] == one] for one in cells]


@dataclass(frozen=True)
class VFlowOptReleased(VFlowOpt):
    """The same without the grey levels, as in the settings that were released."""

    alpha: float = 0.0

    name = "vflowopt_released"
    label = "VFlowOpt-style as released"
    formula = VFlowOpt.formula.replace(" + alpha softmax of the grey levels' entropy", "")
    deviations = "The weight of the grey levels is 0 in all released settings. " + VFlowOpt.deviations
    needs = ("tower_attention",)

    def ranking(self, view: VisualView) -> Tensor:
        """Attention alone."""
        return global_rows(view.part("tower_attention"), self.global_from)


def global_rows(attention: Tensor, above: float) -> Tensor:
    """Mean row of the patches that get the most attention, (N,), from (H, N, N); of all where none stands out."""
    mean = attention.float().mean(0)
    received = mean.mean(0)
    chosen = received > above * received.mean()
    return mean[chosen if chosen.any() else ~chosen].mean(0)


def grid_cells(view: VisualView, m: int) -> Tensor:
    """Number of the cell of an m x m grid over the picture that each token lies in, (N,) of int64.

    The whole picture seen small and the crops have grids of the same cells.
    """
    small = torch.zeros_like(view.row, dtype=torch.bool) if view.crop is None else view.crop == 0
    found = torch.zeros_like(view.row)
    for tokens in (small, ~small):
        if tokens.any():
            row, column = (
                line[tokens] * m // (int(line[tokens].max()) + 1) for line in (view.row, view.column)
            )
            found[tokens] = row * m + column
    return found
