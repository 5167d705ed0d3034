"""A2SF: H2O with a forgetting factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.base import by_kv_head, per_kv_head, with_newest
from analysis.pruning_effects.eviction.policies.controls import Slider
from analysis.pruning_effects.eviction.policies.h2o import H2O

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView


@dataclass(frozen=True)
class A2SF(H2O):
    """H2O with older queries counting less and less."""

    recent_share: float = 0.0625
    factor: float = 0.95
    """Forgetting factor a: a query i tokens before the last counts a^i. 1 is H2O, towards 0 only the last counts."""

    controls = (
        Slider(
            "forgetting",
            "factor",
            "Forgetting factor of A2SF",
            "A query i tokens before the last counts this to the power of i. 1: all count alike, as in H2O; "
            "0: only the last one. Published: 0.95.",
            start=0.95,
            said="A2SF forgets by {:g}",
        ),
    )
    name = "a2sf"
    label = "A2SF"
    source = (
        f"{cited('a2sf')}: attention sums with a forgetting factor (0.95) and a recent sixteenth of the budget (256 and 16 as "
        "released), once after the prefill, mean over the group."
    )

    def weightings(self, n: int) -> dict[str, np.ndarray]:
        """Query i counts factor^(n - 1 - i)."""
        return {f"decay {self.factor:g}": np.power(self.factor, np.arange(n - 1, -1, -1.0))}

    def score(self, view: LayerView) -> Tensor:
        """Decayed column sum."""
        return per_kv_head(view.column_sum(f"decay {self.factor:g}"), view.n_groups).float()

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int) -> Tensor:
        """What was accumulated counts a little less than the newest attention."""
        return with_newest(self.factor * scores, 0.0) + by_kv_head(weights, scores.shape[1])
