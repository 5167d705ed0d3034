"""FlowCut: tokens that the class token reads less and less over the vision tower's layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.visual_tokens.policies.base import Stage, VisualPolicy, highest

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import TowerLayer, VisualView


@dataclass(frozen=True)
class FlowCut(VisualPolicy):
    """Attention and likeness to the class token, times the value's length, followed over layers."""

    memory: float = 0.5
    """Share of the score that comes from the layers before."""

    name = "flowcut"
    label = "FlowCut"
    source = "FlowCut, from the formula."
    formula = (
        "S = (a / sum a + softmax(v_cls v^T)) |v|_1, half of it from the layers before; per layer go r = (n - T) / "
        "sqrt(layers left) * (1 - (H / ln n)^2) tokens, H the entropy of a; the last layer leaves T."
    )
    deviations = (
        "Every other tower layer as published, but of a pass with all tokens; what went is left out of a and of the "
        "softmax. Crops lose tokens together. 0 ln 0 is 0."
    )
    needs = ("tower_layers",)

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """What the tower's last layer leaves, before the language model."""
        alive = torch.arange(len(view))
        memory: Tensor | None = None
        n_layers = len(view.tower_layers)
        for number, layer in enumerate(view.tower_layers):
            a = layer.cls_attention[alive].float()
            a = a / a.sum()
            now = flow(layer, a, alive)
            memory = now if memory is None else self.memory * memory + (1 - self.memory) * now
            left = n_layers - number
            count = kept if left == 1 else len(alive) - leaving(a, len(alive) - kept, left)
            stay = highest(memory, count)
            alive, memory = alive[stay], memory[stay]
        return (Stage(0, alive),)


def flow(layer: TowerLayer, a: Tensor, alive: Tensor) -> Tensor:
    """Score of the tokens that are left, (n,), from their share of the class token's attention."""
    values = layer.values[alive].float()
    whole = layer.cls_value.float().expand_as(layer.values)[alive]
    like = (values * whole).sum(1).softmax(0)
    return (a + like) * values.abs().sum(1)


def leaving(a: Tensor, too_many: int, layers_left: int) -> int:
    """Tokens that go in one layer: more where attention is concentrated."""
    if len(a) < 2:
        return 0
    spread = float(-torch.xlogy(a, a).sum()) / math.log(len(a))
    return max(0, min(too_many, round(too_many / math.sqrt(layers_left) * (1 - spread**2))))
