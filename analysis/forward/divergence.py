"""How far two distributions are from each other, by forms that stay exact when they are close.

``sum p (ln p - ln q)`` adds large terms of both signs: in float32 it is noise, often negative, once the sides differ
in the fourth digit. As both distributions sum to 1, the same number is the sum of ``p (e^d - 1 - d)`` with ``d = ln q -
ln p``, and no term of it is ever negative. With M the larger of p and q, ``a = |d|`` and ``w = 1 - e^-a``, every term of
every divergence is M times a function of a alone, so nothing overflows either:

=====================  ===========================  ==========================
term of                function of a                for small a
=====================  ===========================  ==========================
KL(larger || smaller)  a - w                        a²/2 - a³/6 + a⁴/24 - ...
KL(smaller || larger)  w - a (1 - w)                a²/2 - a³/3 + a⁴/8 - ...
Jensen-Shannon         (2 - w) l - a (1 - w)        a²/4 - a³/8 + a⁴/32 - ...
total variation        w / 2
=====================  ===========================  ==========================

where ``l = -ln(1 - w/2)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_SMALL = 0.05
"""Below it the series serves: what it leaves out is 1e-7 of it, and a difference of functions would lose more."""


@dataclass(frozen=True, eq=False)
class Divergences:
    """One entry per row, none negative, exactly 0 where the sides are the same."""

    kl_pq: Tensor
    """Shape (N,), nats: KL(p || q) = sum p ln(p / q)."""
    kl_qp: Tensor
    """Shape (N,), nats: KL(q || p)."""
    jsd: Tensor
    """Shape (N,), nats, at most ln 2: half of KL(p || m) + KL(q || m) with m = (p + q) / 2."""
    tv: Tensor
    """Shape (N,), at most 1: half of sum |p - q|."""


def divergences(log_p: Tensor, p: Tensor, log_q: Tensor, q: Tensor) -> Divergences:
    """Divergences of distributions over the same outcomes.

    Parameters
    ----------
    log_p, log_q : Tensor, shape (N, V)
        Natural log-probabilities, finite: impossible outcomes have ``vocabulary_head.FLOOR``.
    p, q : Tensor, shape (N, V)
        Their exponentials. Part of the outcomes may be given alone: each adds its own terms.

    Notes
    -----
    Takes about eight blocks of this size for a moment.
    """
    d = log_q - log_p
    a = d.abs()
    w = torch.neg(a).expm1_().neg_()
    larger = torch.maximum(p, q)
    tv = torch.mul(larger, w).sum(-1) / 2
    small = a < _SMALL
    rest = a * (1 - w)  # a e^-a
    tail = torch.mul(w, -0.5).log1p_().neg_().mul_(2 - w).sub_(rest)
    jsd = torch.where(small, _series(a, 1 / 4, -1 / 8, 1 / 32, -1 / 192), tail).mul_(larger).sum(-1)
    of_larger = torch.where(small, _series(a, 1 / 2, -1 / 6, 1 / 24, -1 / 120), a - w).mul_(larger)
    of_smaller = torch.where(small, _series(a, 1 / 2, -1 / 3, 1 / 8, -1 / 30), w - rest).mul_(larger)
    p_larger = d < 0
    return Divergences(
        kl_pq=torch.where(p_larger, of_larger, of_smaller).sum(-1),
        kl_qp=torch.where(p_larger, of_smaller, of_larger).sum(-1),
        jsd=jsd / 2,
        tv=tv,
    )


def _series(a: Tensor, *factors: float) -> Tensor:
    """``a² (f0 + f1 a + f2 a² + ...)``, by Horner's rule."""
    *first, last = factors
    total = a * last
    for factor in reversed(first[1:]):
        total.add_(factor).mul_(a)
    return total.add_(first[0]).mul_(a).mul_(a)
