"""What the information horizon suggests: diverse tokens before it, random ones or none after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.visual_tokens.policies.base import Stage, VisualPolicy, cosines, highest
from analysis.visual_tokens.policies.divprune import spread
from analysis.visual_tokens.policies.layers import same_depth, stage_counts

if TYPE_CHECKING:
    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class RandomAfterHorizon(VisualPolicy):
    """DivPrune before the language model, a random part of what it left from the horizon on."""

    published: int = 20
    """The horizon's layer, of 32."""
    seed: int = 0

    name = "random_after_horizon"
    label = "DivPrune, random from layer 20 of 32"
    source = "All You Need Are Random Visual Tokens? From the formula."
    formula = "DivPrune before layer 0; from layer 20 of 32 on a uniformly random part: 284 then 38, 96 then 10, of 576."
    deviations = (
        "Positions stay as they were (published: counted anew) and the draw is seeded. The layer at the same depth; "
        "counts between the published ones on straight lines."
    )
    is_random = True

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """Two stages."""
        first, last = stage_counts(len(view), kept, (10 / 576, 38 / 576, 1.0), [(96 / 576, 284 / 576, 1.0)])
        diverse = torch.tensor(sorted(spread(1 - cosines(view.features), first)))
        draw = torch.rand(first, generator=torch.Generator().manual_seed(self.seed))
        layer = same_depth((self.published,), view.n_layers)[0]
        return Stage(0, diverse), Stage(layer, diverse[highest(draw, last)])


@dataclass(frozen=True)
class DropAll(VisualPolicy):
    """All visual tokens go at one layer."""

    layer_of_32: int = 20

    name = "drop_all"
    label = "drop all from layer 20 of 32"
    source = "Visual token withdrawal: Lin et al. 2024 (arXiv 2405.05803)."
    formula = "From layer 20 of 32 on no visual token is left."
    deviations = (
        "The layer is the horizon of another paper, at the same depth; the published one is searched for."
    )
    fewest = 0

    def refuses(self, view: VisualView, kept: int) -> str:
        """It keeps nothing."""
        return "It keeps none." if kept else ""

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """One empty stage."""
        layer = same_depth((self.layer_of_32,), view.n_layers)[0]
        return (Stage(layer, torch.zeros(0, dtype=torch.int64)),)
