"""Which tokens a sampler leaves, where the rule is not one call of transformers'."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from analysis.ties import SLACK

_ROUNDING = 1e-9
"""Entropies this close, relatively, are equal: flat distributions meet the limit exactly."""


def left_by(warper: Any, log_probs: Tensor) -> Tensor:
    """Tokens that one of transformers' logits warpers leaves.

    Parameters
    ----------
    warper : LogitsProcessor
        Such as ``TopPLogitsWarper(0.9)``.
    log_probs : Tensor, shape (V,)
        Nats.

    Returns
    -------
    Tensor of bool, shape (V,)
    """
    scores = log_probs[None].float()
    return torch.isfinite(warper(torch.zeros(1, 1, dtype=torch.long), scores.clone()))[0]


def falling(log_probs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens from the most to the least probable; of equal ones the smaller id first.

    Returns
    -------
    tuple of Tensor, each of shape (V,)
        Ids; probabilities, float64, which sum to 1; terms ``-p ln p``, nats, 0 where p is.
    """
    values, ids = log_probs.double().sort(descending=True, stable=True)
    values = values - values.logsumexp(0)
    p = values.exp()
    return ids, p, torch.where(p > 0, -p * values, torch.zeros_like(p))


def prefix_entropies(p: Tensor, terms: Tensor) -> Tensor:
    """Entropy of the first k tokens alone, renormalised, for every k; float64, (V,), nats.

    Parameters
    ----------
    p, terms : Tensor, shape (V,)
        From :func:`falling`.

    Notes
    -----
    ``ln S_k + (sum of -p ln p up to k) / S_k`` with ``S_k`` the mass of the k tokens. One token alone has entropy 0. It
    never falls with k: a new share w of the mass, at most 1 / (k + 1), adds ``h(w) - w H_k``, and
    ``h(w) >= w ln(k + 1) > w H_k``.
    """
    mass = p.cumsum(0)
    entropies = mass.log() + terms.cumsum(0) / mass
    entropies[0] = 0.0
    return entropies


def top_h_of_the_paper(log_probs: Tensor, top_h: float) -> Tensor:
    """Tokens that Top-H keeps by the constraint of its paper.

    Parameters
    ----------
    log_probs : Tensor, shape (V,)
        Nats.
    top_h : float in (0, 1]
        Share of the entropy that the kept tokens may have, the paper's alpha.

    Returns
    -------
    Tensor of bool, shape (V,)
        The longest run of most probable tokens whose entropy, renormalised, is at most ``top_h`` times that of the whole
        distribution. One at least: alone it has none.

    References
    ----------
    Potraghloo et al. 2025, arXiv:2509.02510: the greedy solution under ``H(q) <= alpha H(p)``. transformers'
    ``TopHLogitsWarper`` compares other numbers: partial sums of ``-p ln p`` over the renormalised hundred most
    probable tokens, which are not renormalised again, with ``top_h`` times their total.
    """
    if not 0 < top_h <= 1:
        raise ValueError(f"top_h must be in (0, 1], got {top_h}")
    ids, p, terms = falling(log_probs)
    entropies = prefix_entropies(p, terms)
    within = (entropies <= top_h * entropies[-1] * (1 + _ROUNDING)) & (p > 0)
    count = int(within.nonzero().max()) + 1 if within.any() else 1
    return torch.zeros(len(ids), dtype=torch.bool).index_fill(0, ids[:count], True)


def typicality(log_probs: Tensor) -> Tensor:
    """How far each surprisal is from the entropy, |-ln p - H|, (1, V), float64."""
    surprisal = log_probs.double().logsumexp(-1, keepdim=True) - log_probs.double()
    return (surprisal - (surprisal.neg().exp() * surprisal).nansum(-1, keepdim=True)).abs()


def up_to(mass: float, key: Tensor, log_probs: Tensor) -> Tensor:
    """Log-probabilities (1, V) of the fewest tokens, by rising key, whose probability reaches a mass.

    Of tokens with equal keys the one with the lower id comes first; sums are in float64, and what is short of the
    limit by a rounding reaches it.
    """
    if not 0 < mass <= 1:
        raise ValueError(f"a probability must be in (0, 1], got {mass}")
    if mass == 1:
        return log_probs
    order = key[0].sort(stable=True).indices
    sums = log_probs[0, order].double().exp().cumsum(0)
    count = 1 + int((sums < (mass - SLACK) * sums[-1]).sum())
    out = torch.full_like(log_probs, -torch.inf)
    out[0, order[:count]] = log_probs[0, order[:count]]
    return out
