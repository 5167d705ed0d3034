"""Interventions that weigh tokens by what they do to the entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from analysis.entropy_collapse.labs.four_squares.interventions.base import CLIP, Batch, Intervention
from analysis.papers.citations import cited

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST_ENTROPY = 1e-6


@dataclass(frozen=True)
class Steer(Intervention):
    """Tokens that would change the entropy most count less.

    ``omega = |A / p_old * p (1 - p) (ln p + H)|`` is the size of the change a token's own
    logit would cause; weights fall linearly from ``most`` at the smallest omega of the
    minibatch to ``least`` at the largest and multiply PPO's loss.

    Source: STEER and its code: 1.2 and 0.8. Rescaled: 1 and 0.
    """

    name = "steer"
    source = "STEER, " + cited("steer")
    says = "Gives less weight to tokens that would change the entropy most."
    limits: ClassVar = {"most": (0.0, 10.0), "least": (0.0, 10.0)}
    most: float = 1.2
    least: float = 0.8

    def weights(self, batch: Batch) -> Tensor:
        """Weight of every token; (B, T), no gradient."""
        own = batch.logprob.detach()
        p, entropy = own.exp(), batch.entropy.detach()
        omega = (batch.advantage / batch.old_logprob.exp() * p * (1 - p) * (own + entropy)).abs()
        spread = (omega.max() - omega.min()).clamp(min=1e-12)
        return self.most + (self.least - self.most) * (omega - omega.min()) / spread

    def loss(self, batch: Batch) -> Tensor:
        """PPO's loss, weighted."""
        return (self.weights(batch) * batch.clipped()).mean()


@dataclass(frozen=True)
class Hapo(Intervention):
    """Unsure tokens are sampled hotter, weigh more, and may rise further.

    ``h = (ln H - q) / s`` clipped to [-1, 1], with q the 80th percentile and s the standard
    deviation of the log-entropies (of the step before when sampling, of the minibatch when
    updating). Temperature ``T (1 + warmth h)``, advantage ``A (1 + boost h)``, ratio clipped to
    [1 - 0.2, 1 + high] where h > 0 and to [1 - high, 1 + 0.2] where it is not.

    Source: HAPO (Liu et al. 2025) and its code: the 80th percentile and warmth 0.05. Its asymmetric clip
    too widens the upper bound for unsure tokens and the lower one for sure tokens. Its code differs in
    the rest: the distances from q are divided by the largest one on either side, so that the most and the least
    unsure token have h = 1 and -1; the wide bound is 0.2 (1 + |h|), up to 0.4; the advantage is changed with a
    boost of 1, for unsure tokens only where the ratio has left the middle half of its bounds, for sure
    tokens only inside it; advantages are normalised over the tokens of a group, which comes to
    the same here, where all answers have the same length, but for the population's standard deviation. The boost of 0.1 and the bound of 0.28 are ours. The
    ratio is taken at the run's temperature, not the changed one. Rescaled: warmth 0.3, boost 0.5, high 0.5.
    """

    name = "hapo"
    source = "HAPO, " + cited("hapo")
    says = "Samples unsure tokens hotter and lets their probability rise further."
    differs = (
        "Unlike HAPO's code, h is cut at ±1 and not stretched to it, the wide bound is one number and does not grow with h "
        "(up to 0.4 there), and every advantage is changed (with strength 1 there, by where the ratio stands)."
    )
    limits: ClassVar = {"warmth": (0.0, 0.9), "boost": (0.0, 1.0), "high": (0.0, 0.9)}
    warmth: float = 0.05
    boost: float = 0.1
    high: float = 0.28

    def unsureness(self, entropy: Tensor, seen: tuple[float, float]) -> Tensor:
        """Place of every token, ``h`` from -1 to 1; no gradient."""
        centre, spread = seen
        logs = entropy.detach().clamp(min=_SMALLEST_ENTROPY).log()
        return ((logs - centre) / max(spread, 1e-6)).clamp(-1, 1)

    def temperature_factor(self, entropy: Tensor, seen: tuple[float, float]) -> Tensor | None:
        """Factor ``1 + warmth h`` on the temperature."""
        return 1 + self.warmth * self.unsureness(entropy, seen)

    def loss(self, batch: Batch) -> Tensor:
        """PPO's loss with a clip per token and a weighted advantage."""
        h = self.unsureness(batch.entropy, log_entropy_spread(batch.entropy))
        ratio, advantage = batch.ratio, batch.advantage * (1 + self.boost * h)
        rising = ratio.clamp(1 - CLIP, 1 + self.high)
        held = rising.where(h > 0, ratio.clamp(1 - self.high, 1 + CLIP))
        return -(ratio * advantage).minimum(held * advantage).mean()


def log_entropy_spread(entropy: Tensor) -> tuple[float, float]:
    """80th percentile and standard deviation of the log-entropies."""
    logs = entropy.detach().clamp(min=_SMALLEST_ENTROPY).log().flatten()
    return float(logs.quantile(0.8)), float(logs.std())
