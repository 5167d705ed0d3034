"""Interventions that add an entropy or divergence term to the loss."""

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
class EntropyBonus(Intervention):
    """PPO's loss minus ``coefficient`` times the mean entropy per token.

    Source: Williams and Peng 1991; an ``entropy_coef`` of 0.001 is a common setting where
    large models are trained. Rescaled: 0.1.
    """

    name = "entropy bonus"
    source = cited("entropy_bonus")
    says = "Pays the policy for every nat of entropy it keeps."
    limits: ClassVar = {"coefficient": (0.0, 100.0)}
    coefficient: float = 1e-3

    def loss(self, batch: Batch) -> Tensor:
        """PPO's loss with the bonus."""
        return batch.clipped().mean() - self.coefficient * batch.entropy.mean()


@dataclass(frozen=True)
class EntropyBand(Intervention):
    """Forking tokens only, with a price on entropy outside a band.

    PPO's loss over the 20 % of tokens of highest entropy, plus ``coefficient`` times the mean
    of ``max(0, low - H) + max(0, H - high)`` over the same tokens (nats).

    Source: SPINE, of which only the abstract was read: it names forking tokens and an entropy
    band. The form of the price and all constants are ours, so there is no published setting.
    SPINE trains at test time without known answers; here the verifier gives the reward.
    """

    name = "entropy band"
    source = "after the abstract of SPINE, " + cited("spine")
    says = "Trains on forking tokens and keeps their entropy inside a band."
    differs = "Made from SPINE's abstract: the form of the price and its constants are ours, and a verifier gives the reward."
    limits: ClassVar = {"low": (0.0, 10.0), "high": (0.0, 100.0), "coefficient": (0.0, 100.0)}
    low: float = 0.5
    high: float = 1.6
    coefficient: float = 0.5

    def loss(self, batch: Batch) -> Tensor:
        """PPO's loss and the price at the forking tokens."""
        outside = (self.low - batch.entropy).clamp(min=0) + (batch.entropy - self.high).clamp(min=0)
        return mean_over(batch.clipped() + self.coefficient * outside, top_entropy(batch.entropy, 0.2))


@dataclass(frozen=True)
class LpReg(Intervention):
    """Rare but reasonable tokens are protected from being punished away.

    The proxy is the policy without tokens below ``keep`` times its largest probability,
    renormalised. Tokens among the ``fraction`` of lowest log-probability, with negative
    advantage and a higher probability under the proxy, pay ``coefficient KL(proxy || policy)``,
    clipped to [0, 10], on top of PPO's loss.

    Source: Huang et al. 2025, Low-probability Regularization, and its code: keep 0.02, fraction 0.01,
    coefficient 1. Here the divergence is exact over the vocabulary, and the proxy is made from
    the policy being updated without a gradient. Rescaled: fraction 0.1.
    """

    name = "lp-reg"
    source = "Low-probability Regularization, " + cited("lp_reg")
    says = "Shields rare but reasonable tokens from being punished away."
    differs = (
        "The divergence runs over the whole vocabulary, and the proxy is made from the policy being updated."
    )
    limits: ClassVar = {"fraction": (0.0, 1.0), "keep": (0.0, 1.0), "coefficient": (0.0, 1e3)}
    fraction: float = 0.01
    keep: float = 0.02
    coefficient: float = 1.0

    def loss(self, batch: Batch) -> Tensor:
        """PPO's loss with the protection."""
        probability = batch.logprobs.detach().exp()
        kept = probability >= self.keep * probability.amax(-1, keepdim=True)
        mass = (probability * kept).sum(-1)
        proxy = probability * kept / mass.unsqueeze(-1)
        # Inside the kept tokens ln proxy = ln policy - ln mass; outside the proxy is 0.
        stored = batch.logprobs.detach() - mass.log().unsqueeze(-1)
        divergence = (proxy * (stored - batch.logprobs)).sum(-1).clamp(0.0, 10.0)
        own = batch.logprob.detach()
        rare = own <= own.flatten().kthvalue(max(1, int(self.fraction * own.numel()))).values
        written_kept = own.exp() >= self.keep * probability.amax(-1)
        chosen = rare & (batch.advantage < 0) & written_kept & (mass < 1)
        return (batch.clipped() + self.coefficient * chosen * divergence).mean()
