"""Interventions that change which updates are held back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from analysis.entropy_collapse.labs.four_squares.interventions.base import CLIP, Batch, Intervention
from analysis.papers.citations import cited

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Unchanged(Intervention):
    """GRPO as it is: PPO's loss with a ratio clipped to 1 ± 0.2, no KL term, no bonus.

    Source: Shao et al. 2024, DeepSeekMath. Here the mean runs over all tokens of a
    minibatch; all answers are equally long, so that is their mean per answer too.
    """

    name = "none"
    source = "DeepSeekMath (GRPO), " + cited("deepseekmath")
    says = "Plain GRPO, ratio clipped to 1 ± 0.2. The baseline of every comparison."


@dataclass(frozen=True)
class ClipHigher(Intervention):
    """Room for rare tokens to grow: the ratio is clipped to [1 - 0.2, 1 + high].

    Source: Yu et al. 2025, DAPO: 0.2 and 0.28. Nothing else of DAPO is done here.
    """

    name = "clip-higher"
    source = "DAPO, " + cited("dapo")
    says = "Lets the probability of a token rise further in one step than it may fall."
    differs = "Nothing else of DAPO is done."
    limits: ClassVar = {"high": (CLIP, 10.0)}
    high: float = 0.28

    def loss(self, batch: Batch) -> Tensor:
        """PPO's loss with the wider upper bound."""
        return batch.clipped(high=self.high).mean()


@dataclass(frozen=True)
class ClipCov(Intervention):
    """Some tokens of high covariance get no gradient at all.

    ``max(1, int(fraction n))`` of the n tokens of a minibatch are drawn at random among those
    with ``low < cov < high`` that PPO has not clipped; their loss is multiplied by 0.
    ``cov_i = (A_i - mean A)(lp_i - mean lp)``.

    Source: Cui et al. 2025, The Entropy Mechanism of Reinforcement Learning, and its recipe:
    fraction 2e-4, bounds 1 and 5. The mean still runs over all tokens, as there. Rescaled:
    a fraction of 5 %.
    """

    name = "clip-cov"
    source = "The Entropy Mechanism of RL, " + cited("entropy_mechanism")
    says = "Leaves out some tokens where log-probability and advantage move together most."
    limits: ClassVar = {"fraction": (0.0, 1.0), "low": (-100.0, 100.0), "high": (-100.0, 100.0)}
    fraction: float = 2e-4
    low: float = 1.0
    high: float = 5.0

    def chosen(self, batch: Batch) -> Tensor:
        """Which tokens get no gradient; bool, (B, T)."""
        covariance = batch.covariance()
        ratio = batch.ratio.detach()
        held = (ratio * batch.advantage) > (ratio.clamp(1 - CLIP, 1 + CLIP) * batch.advantage)
        eligible = (covariance > self.low) & (covariance < self.high) & ~held
        draws = covariance.new_empty(covariance.shape).uniform_(generator=batch.generator)
        order = draws.masked_fill(~eligible, 2.0).flatten().argsort()
        count = min(max(1, int(self.fraction * order.numel())), int(eligible.sum()))
        mask = eligible.new_zeros(order.numel()).index_fill(0, order[:count], True)
        return mask.reshape(covariance.shape)

    def loss(self, batch: Batch) -> Tensor:
        """PPO's loss without the chosen tokens."""
        return batch.clipped().masked_fill(self.chosen(batch), 0.0).mean()


@dataclass(frozen=True)
class KLCov(Intervention):
    """Tokens of the highest covariance are tied to the policy that wrote them.

    Loss ``-r A`` for every token, without clipping, plus ``coefficient |lp - lp_old|`` for
    the ``max(1, int(fraction n))`` tokens of largest ``cov_i``.

    Source: Cui et al. 2025, The Entropy Mechanism of Reinforcement Learning, and its recipe:
    fraction 2e-4 or 2e-3, coefficient 1. The tie pulls only after the first minibatch of a
    step: before it the two policies are one. Rescaled: fraction 0.2.
    """

    name = "kl-cov"
    source = "The Entropy Mechanism of RL, " + cited("entropy_mechanism")
    says = "Ties the tokens where log-probability and advantage move together most to the old policy."
    limits: ClassVar = {"fraction": (0.0, 1.0), "coefficient": (0.0, 1e3)}
    fraction: float = 2e-3
    coefficient: float = 1.0

    def loss(self, batch: Batch) -> Tensor:
        """Unclipped loss with the tie."""
        covariance = batch.covariance().flatten()
        chosen = covariance.topk(max(1, int(self.fraction * covariance.numel()))).indices
        tied = covariance.new_zeros(covariance.numel()).index_fill(0, chosen, self.coefficient)
        moved = (batch.logprob - batch.old_logprob).abs()
        return (-batch.ratio * batch.advantage + tied.reshape(moved.shape) * moved).mean()
