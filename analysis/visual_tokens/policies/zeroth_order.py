"""Zeroth-order sensitivity: tokens whose projection answers most to small changes, spread apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.visual_tokens.policies.base import Stage, VisualPolicy, best, cosines, relative

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class ZerothOrder(VisualPolicy):
    """Sensitivity of the projector by random differences, times the distance to what is chosen."""

    directions: int = 64
    step: float = 0.01
    seed: int = 0

    name = "zeroth_order"
    label = "zeroth-order sensitivity"
    source = "ZOO-Prune; its abstract and a third party's notes."
    formula = (
        "S_i = mean over u of |M(x_i + h u) - M(x_i - h u)| / 2h, u normal, 64 of them, h = .01, M the projector; greedy "
        "argmax of minmax(S) (1 - max cos to those chosen)."
    )
    deviations = "All tokens share their directions; computed in float32, since h is lost in 16 bits."
    needs = ("projector_inputs", "projector")
    is_random = True

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """One stage before the language model."""
        assert view.projector is not None
        inputs = view.part("projector_inputs").float()
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randn(self.directions, inputs.shape[1], generator=generator)
        weight = relative(sensitivity(view.projector, inputs, drawn, self.step))
        similar = cosines(view.features)
        nearest = torch.full((len(view),), -1.0, dtype=similar.dtype)
        free = torch.ones(len(view), dtype=torch.bool)
        for _ in range(kept):
            j = best(torch.where(free, weight * (1 - nearest), -float("inf")))
            nearest = torch.maximum(nearest, similar[j])
            free[j] = False
        return (Stage(0, (~free).nonzero()[:, 0]),)


def sensitivity(
    projector: Callable[[Tensor], Tensor], inputs: Tensor, directions: Tensor, step: float
) -> Tensor:
    """Mean length of the central difference along each direction, (N,).

    Parameters
    ----------
    projector : callable
        From (N, d) to (N, D), token by token.
    inputs : torch.Tensor
        (N, d).
    directions : torch.Tensor
        (m, d), the same for all tokens.
    step : float
        h.
    """
    with torch.inference_mode():
        found = [projector(inputs + step * u) - projector(inputs - step * u) for u in directions]
        return torch.stack([difference.float().norm(dim=1) for difference in found]).mean(0) / (2 * step)
