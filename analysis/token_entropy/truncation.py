"""Which tokens a sampler leaves: transformers' own rule, or one written out where rounding would decide it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from analysis.ties import SLACK

FRONT = 1024
"""Tokens that are sorted first; all of them only where these do not decide."""
_ROUNDING = 1e-9
"""Entropies this close, relatively, are equal: flat distributions meet the limit exactly."""


def left_by(sampler: str, setting: float, log_probs: Tensor) -> Tensor:
    """Tokens that one sampler leaves of a distribution, one at least.

    Parameters
    ----------
    sampler : {"top-k", "top-p", "min-p", "typical", "top-h", "top-h-paper", "eta", "epsilon"}
        "top-h" is the rule that transformers follows, "top-h-paper" :func:`top_h_of_the_paper`.
    setting : float
        What it allows, see :data:`analysis.writing.sampling.SAMPLERS`.
    log_probs : Tensor, shape (V,)
        Nats; need not be normalised.

    Returns
    -------
    Tensor of bool, shape (V,)

    Raises
    ------
    ValueError
        If there is no such sampler, or not with this setting.

    Notes
    -----
    Nucleus and locally typical sampling take equal tokens in the order of their ids and are written out here:
    transformers lets rounding decide where their sums reach the limit. Top-k keeps all that equal the k-th.
    """
    if sampler == "top-h-paper":
        return top_h_of_the_paper(log_probs, setting)
    scores = log_probs.float()
    if sampler == "top-p":
        return fewest(setting, -scores, scores)
    if sampler == "typical":
        return fewest(setting, typicality(scores), scores)
    return torch.isfinite(
        _warper(sampler, setting)(torch.zeros(1, 1, dtype=torch.long), scores[None].clone())
    )[0]


def _warper(sampler: str, setting: float) -> Any:
    """One of transformers' own logits processors."""
    import transformers

    if sampler == "top-k":
        return transformers.TopKLogitsWarper(int(setting))
    names = {"min-p": "MinP", "top-h": "TopH", "eta": "Eta", "epsilon": "Epsilon"}
    if sampler not in names:
        raise ValueError(f"no sampler {sampler!r}")
    return getattr(transformers, f"{names[sampler]}LogitsWarper")(setting)


def _fronts(key: Tensor) -> Iterator[Tensor]:
    """Indices by rising key, (V,), of equal keys the smaller first: the first few, then, if asked again, all."""
    if len(key) > 4 * FRONT:
        few = (key < key.topk(FRONT, largest=False, sorted=False).values.max()).nonzero()[:, 0]
        if len(few):
            yield few[key[few].sort(stable=True).indices]
    yield key.sort(stable=True).indices


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
    exact = log_probs.double()
    p = (exact - exact.logsumexp(0)).exp()
    terms = torch.special.entr(p)
    limit = top_h * terms.sum() * (1 + _ROUNDING)
    count, order = 1, torch.zeros(0, dtype=torch.long)
    for order in _fronts(-exact):
        within = (prefix_entropies(p[order], terms[order]) <= limit) & (p[order] > 0)
        count = int(within.nonzero().max()) + 1 if within.any() else 1
        if count < len(order):
            break
    return _marked(order[:count], len(p))


def _marked(ids: Tensor, n: int) -> Tensor:
    """bool, (n,), True at these."""
    return torch.zeros(n, dtype=torch.bool, device=ids.device).index_fill(0, ids, True)


def typicality(log_probs: Tensor) -> Tensor:
    """How far each surprisal is from the entropy, |-ln p - H|, (V,), float64."""
    surprisal = log_probs.double().logsumexp(-1) - log_probs.double()
    return (surprisal - (surprisal.neg().exp() * surprisal).nansum(-1)).abs()


def fewest(mass: float, key: Tensor, log_probs: Tensor) -> Tensor:
    """Mark the fewest tokens, (V,), by rising key, whose probability reaches a mass.

    Of tokens with equal keys the one with the lower id comes first; sums are in float64, and what is short of the
    limit by a rounding reaches it.
    """
    if not 0 < mass <= 1:
        raise ValueError(f"a probability must be in (0, 1], got {mass}")
    if mass == 1:
        return torch.isfinite(log_probs)
    p = log_probs.double().exp()
    limit = (mass - SLACK) * p.sum()
    count, order = 1, torch.zeros(0, dtype=torch.long)
    for order in _fronts(key):
        count = 1 + int((p[order].cumsum(0) < limit).sum())
        if count <= len(order):
            break
    return _marked(order[:count], len(p))
