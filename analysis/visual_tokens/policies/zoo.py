"""ZOO-Prune: tokens that the projector answers to most strongly, and that differ from one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from analysis.visual_tokens.policies.base import VisualPolicy, VisualView, cosines, marked


def sensitivity(
    project: Callable[[Tensor], Tensor], states: Tensor, *, draws: int = 64, step: float = 0.01, seed: int = 0
) -> Tensor:
    """Measure how strongly a projector answers to noise on each token, without a gradient.

    ``1/m sum over u of |M(x + h u) - M(x - h u)| / 2h``, u standard normal.

    Parameters
    ----------
    project : callable
        The projector M, row by row: (n, D) to (n, E).
    states : torch.Tensor
        (n, D), what it gets. Float32 or more: in 16 bits a step of .01 is lost in rounding.
    draws : int, default 64
    step : float, default 0.01
    seed : int, default 0

    Returns
    -------
    torch.Tensor
        (n,), in the precision of the states.
    """
    noise = torch.Generator().manual_seed(seed)
    total = states.new_zeros(len(states))
    for _ in range(draws):
        u = torch.randn(states.shape, generator=noise).to(states)
        total += (project(states + step * u) - project(states - step * u)).norm(dim=-1) / (2 * step)
    return total / draws


@dataclass(frozen=True)
class ZooPrune(VisualPolicy):
    """Greedy: sensitivity, scaled to 0 to 1, times the distance to what is chosen."""

    name: ClassVar[str] = "zoo"
    label: ClassVar[str] = "ZOO-Prune"
    source: ClassVar[str] = (
        "ZOO-Prune: training-free token pruning via zeroth-order gradient estimation, 2025. From the abstract's formulas:"
        " there is no code to compare with. Distance is 1 - largest cosine of projected features."
    )
    needs: ClassVar[tuple[str, ...]] = ("features", "sensitivity")

    def choose(self, view: VisualView, budget: int, seed: int) -> Tensor:
        """Choose one by one; the first by sensitivity alone."""
        assert view.sensitivity is not None
        weight = view.sensitivity.double()
        low, high = weight.min(), weight.max()
        weight = (weight - low) / (high - low).clamp_min(torch.finfo(weight.dtype).tiny)
        close = cosines(view.features)
        chosen = [int(weight.argmax())]
        nearest = close[chosen[0]].clone()
        while len(chosen) < budget:
            score = weight * (1 - nearest)
            score[chosen] = -torch.inf
            chosen.append(int(score.argmax()))
            nearest = torch.maximum(nearest, close[chosen[-1]])
        return marked(torch.tensor(chosen, device=close.device), view.n)
