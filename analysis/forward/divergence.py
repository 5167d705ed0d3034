"""How far two distributions are from each other, by forms that stay exact when they are close.

``sum p (ln p - ln q)`` adds large terms of both signs: in float32 it is noise, often negative, once the sides differ
in the fourth digit. As both distributions sum to 1, the same number is the sum of ``q - p - p d`` with ``d = ln q -
ln p``, and no term of it is ever negative. With ``a = |d|``, ``w = 1 - e^-a``, ``l = -ln(1 - w/2)`` and ``q - p`` taken
as ``max(p, q) w`` with the sign of d, nothing overflows either:

===============  ============================  =====================================
term of          for large a                   for small a
===============  ============================  =====================================
KL(p || q)       (q - p) - p d                 p d² (1/2 + d/6 + d²/24 + d³/120)
KL(q || p)       q d - (q - p)                 q d² (1/2 - d/6 + d²/24 - d³/120)
Jensen-Shannon   ((p + q) l - min(p, q) a)/2   √(pq) d²/8
total variation  |q - p|/2                     the same
===============  ============================  =====================================
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_SMALL = 0.05
"""Below it the series serve: what they leave out is 1e-7 of them, where the differences would lose more."""


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
    Takes about twelve blocks of this size for a moment. Small and large are chosen by ``lerp`` with weights 1 and 0,
    which is exact: ``torch.where`` takes ten times as long as a product.
    """
    d = log_q - log_p
    a = d.abs()
    w = torch.neg(a).expm1_().neg_()
    more = torch.maximum(p, q).mul_(w)
    tv = more.sum(-1) / 2
    more = more.copysign_(d)  # q - p
    small = (a < _SMALL).to(d.dtype)
    square = d * d
    large = w.mul_(-0.5).log1p_().neg_().mul_(p + q).addcmul_(torch.minimum(p, q), a, value=-1)
    jsd = large.lerp_(torch.mul(p, q).sqrt_().mul_(square).div_(4), small).sum(-1) / 2
    even = (square / 24).add_(1 / 2)
    odd = (square / 120).add_(1 / 6).mul_(d)
    near_p = (even + odd).mul_(square).mul_(p)
    near_q = even.sub_(odd).mul_(square).mul_(q)
    kl_pq = torch.addcmul(more, p, d, value=-1).lerp_(near_p, small).sum(-1)
    kl_qp = more.neg_().addcmul_(q, d).lerp_(near_q, small).sum(-1)
    return Divergences(kl_pq, kl_qp, jsd, tv)
