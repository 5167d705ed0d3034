"""What a policy update does to the entropy, and what was predicted. Tensors in, numbers out.

Every mean runs over all written tokens of a step, each with weight 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.entropy_collapse.labs.four_squares.interventions.base import top_entropy

if TYPE_CHECKING:
    from torch import Tensor


def covariance(logprob: Tensor, advantage: Tensor) -> float:
    """Cov(log-probability, advantage) over the tokens of a step, nats.

    Parameters
    ----------
    logprob, advantage : torch.Tensor
        (B, T): of the written tokens, by the policy that wrote them.

    Notes
    -----
    ``mean((A - mean A) (lp - mean lp))``, the estimate of Cui et al. 2025 (The Entropy
    Mechanism of Reinforcement Learning). For one state of a softmax policy under natural
    policy gradient the entropy changes by minus the learning rate times this; pooled over
    states it tells the direction.
    """
    return float(((advantage - advantage.mean()) * (logprob - logprob.mean())).mean())


def exact_slope(logprobs: Tensor, written: Tensor, advantage: Tensor) -> Tensor:
    """Change of each token's entropy per unit of learning rate, nats; shape (B, T).

    Parameters
    ----------
    logprobs : torch.Tensor
        (B, T, V): the whole distribution at each token.
    written : torch.Tensor
        int64, (B, T).
    advantage : torch.Tensor
        (B, T).

    Notes
    -----
    The policy gradient of a softmax moves the logits of the state by
    ``dz_i = A (1[i = a] - p_i)``, and the entropy changes by ``-sum p_i (ln p_i + H) dz_i``,
    which is ``-A (p_a (ln p_a + H) - sum p_i^2 (ln p_i + H))``. Exact to first order for a table of
    logits; a network shares weights between states and Adam rescales them.
    """
    p = logprobs.exp()
    surplus = p * (logprobs + entropy_of(logprobs).unsqueeze(-1))
    own = surplus.gather(-1, written.unsqueeze(-1)).squeeze(-1)
    return -advantage * (own - (p * surplus).sum(-1))


def entropy_of(logprobs: Tensor) -> Tensor:
    """Entropy over the last axis, nats."""
    return -(logprobs.exp() * logprobs).sum(-1)


def top_share(entropy: Tensor) -> float:
    """Part of all entropy that lies in the 20 % of tokens (rounded up) of highest entropy, 0 to 1.

    Parameters
    ----------
    entropy : torch.Tensor
        (B, T), nats.
    """
    return float(entropy[top_entropy(entropy, 0.2)].sum() / entropy.sum().clamp(min=1e-12))
