"""What every intervention is: a loss over one minibatch of written tokens, and a few knobs.

Nothing here imports torch: a loss is written with the methods of the tensors it gets, so
settings can be read and compared without it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil
from typing import TYPE_CHECKING, ClassVar

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CLIP = 0.2
"""Distance of the probability ratio from 1 beyond which PPO stops pushing."""

_ROUNDING = 1e-9
"""0.2 times 60 is a little more than 12 in floating point."""


@dataclass(frozen=True, eq=False)
class Batch:
    """B answers of T tokens, read by the policy that is being updated."""

    logprobs: Tensor
    """(B, T, V), nats, with gradient: the whole vocabulary at the run's temperature."""
    logprob: Tensor
    """(B, T), with gradient: of the written tokens."""
    entropy: Tensor
    """(B, T), nats, with gradient."""
    old_logprob: Tensor
    """(B, T): of the written tokens, by the policy that wrote them."""
    advantage: Tensor
    """(B, T): group-normalised, the same for all tokens of an answer."""
    reward: Tensor
    """(B,): 1 for a right answer, else 0."""
    step_entropy: float
    """Mean entropy over all tokens of the step, nats."""
    generator: torch.Generator
    """Source of random choices."""

    @property
    def ratio(self) -> Tensor:
        """Probability of each written token, new over old; (B, T), with gradient."""
        return (self.logprob - self.old_logprob).exp()

    def clipped(self, high: float = CLIP) -> Tensor:
        """PPO's loss of each token, ``-min(r A, clip(r, 1 - CLIP, 1 + high) A)``; (B, T)."""
        ratio = self.ratio
        pushed, held = ratio * self.advantage, ratio.clamp(1 - CLIP, 1 + high) * self.advantage
        return -pushed.minimum(held)

    def covariance(self) -> Tensor:
        """Each token's share of Cov(log-probability, advantage) over the minibatch; (B, T), no gradient."""
        logprob = self.logprob.detach()
        return (self.advantage - self.advantage.mean()) * (logprob - logprob.mean())


def mean_over(losses: Tensor, kept: Tensor) -> Tensor:
    """Mean of the losses where ``kept`` is true; 0 where that is nowhere."""
    return (losses * kept).sum() / kept.sum().clamp(min=1)


def top_entropy(entropy: Tensor, share: float) -> Tensor:
    """Which tokens are among the ``ceil(share * N)`` of highest entropy; bool, shape of ``entropy``."""
    count = ceil(share * entropy.numel() - _ROUNDING)
    chosen = entropy.detach().flatten().topk(count).indices
    return entropy.new_zeros(entropy.numel()).index_fill(0, chosen, 1.0).reshape(entropy.shape).bool()


@dataclass(frozen=True)
class Intervention:
    """GRPO with a change; a field of a subclass is one of its constants.

    Subclasses say in their docstring where the change comes from, its formula, and what is
    different here.
    """

    name: ClassVar[str] = ""
    """Short word for links and tables."""
    source: ClassVar[str] = ""
    says: ClassVar[str] = ""
    """What it does, one sentence."""
    differs: ClassVar[str] = ""
    """In what it departs from its source, for the page; empty where it does not."""
    limits: ClassVar[dict[str, tuple[float, float]]] = {}
    """Smallest and largest value of each constant."""

    def __post_init__(self) -> None:
        for constant, (low, high) in self.limits.items():
            value = getattr(self, constant)
            if not low <= value <= high:
                raise AnalysisError(
                    f"The {constant} of {self.name} is {value:g}.", f"Choose one from {low:g} to {high:g}."
                )

    @property
    def constants(self) -> dict[str, float]:
        """Its constants by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def describe(self) -> str:
        """Name and constants, such as "kl-cov (fraction 0.2, coefficient 1)"."""
        inner = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in self.constants.items())
        return f"{self.name} ({inner})" if inner else self.name

    def loss(self, batch: Batch) -> Tensor:
        """Give the number whose gradient the optimiser follows; a scalar."""
        return batch.clipped().mean()

    @property
    def learning_rate(self) -> float | None:
        """Its own learning rate, if it sets one."""
        return None

    @property
    def temperature(self) -> float | None:
        """Its own temperature, if it sets one."""
        return None

    def temperature_factor(self, entropy: Tensor, seen: tuple[float, float]) -> Tensor | None:
        """Give a factor on the temperature for the next token of each answer; None for no change.

        Parameters
        ----------
        entropy : torch.Tensor
            (B,), nats: of the distribution about to be sampled from.
        seen : tuple of float
            80th percentile and standard deviation of the log-entropies of the step before.
        """
        del entropy, seen
        return None
