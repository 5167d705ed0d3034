"""Interventions that train on some of the tokens only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from analysis.entropy_collapse.labs.four_squares.interventions.base import (
    Batch,
    Intervention,
    mean_over,
    top_entropy,
)
from analysis.papers.citations import cited

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ForkingOnly(Intervention):
    """Only the tokens of highest entropy are trained on.

    PPO's loss, averaged over the ``ceil(share N)`` tokens of highest entropy in the minibatch,
    by the policy being updated.

    Source: Wang et al. 2025, Beyond the 80/20 Rule: share 0.2, which is also what fits here:
    one token in five chooses a square.
    """

    name = "forking only"
    source = "Beyond the 80/20 Rule, " + cited("beyond_8020")
    says = "Trains on the 20 % of tokens with the highest entropy only."
    limits: ClassVar = {"share": (0.0, 1.0)}
    share: float = 0.2

    def loss(self, batch: Batch) -> Tensor:
        """PPO's loss at the forking tokens."""
        return mean_over(batch.clipped(), top_entropy(batch.entropy, self.share))


@dataclass(frozen=True)
class FollowersOnly(Intervention):
    """The counterpart: only the tokens of lowest entropy are trained on.

    PPO's loss over all but the ``ceil((1 - share) N)`` tokens of highest entropy.

    Source: Wang et al. 2025, Beyond the 80/20 Rule: the lowest 80 %, where training fails.
    """

    name = "followers only"
    source = "Beyond the 80/20 Rule, " + cited("beyond_8020")
    says = "Trains on the 80 % of tokens with the lowest entropy only."
    limits: ClassVar = {"share": (0.0, 1.0)}
    share: float = 0.8

    def loss(self, batch: Batch) -> Tensor:
        """PPO's loss at all other tokens."""
        return mean_over(batch.clipped(), ~top_entropy(batch.entropy, 1 - self.share))


@dataclass(frozen=True)
class MasteredMasking(Intervention):
    """Tokens that are mastered are left out while the policy is short of entropy.

    A token is mastered if its answer is right and its probability is at least ``mastered``;
    it is left out in steps whose mean entropy is below ``below`` (nats).

    Source: UloRL, 2025: 0.99 and 0.2. Probabilities are those of the policy being
    updated. Rescaled: 0.9, and a bound above the entropy of the base policy, so that the
    mask is on from the first step.
    """

    name = "mastered masking"
    source = "UloRL, " + cited("ulorl")
    says = "Leaves out tokens of right answers that are almost certain already."
    limits: ClassVar = {"mastered": (0.0, 1.0), "below": (0.0, 100.0)}
    mastered: float = 0.99
    below: float = 0.2

    def loss(self, batch: Batch) -> Tensor:
        """PPO's loss without mastered tokens."""
        known = (batch.logprob.detach().exp() >= self.mastered) & (batch.reward > 0).unsqueeze(1)
        if batch.step_entropy >= self.below:
            known = known & False
        return mean_over(batch.clipped(), ~known)
