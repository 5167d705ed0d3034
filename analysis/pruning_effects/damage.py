"""What an eviction does to the next predictions: surprisal, KL to the full cache, first choices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.forward.readout import distribution, entropy_of, rows_per_block
from analysis.models.anatomy import Head

_BLOCKS_TOGETHER = 2


@dataclass(frozen=True, eq=False)
class Damage:
    """Per setting and row."""

    surprisal: np.ndarray
    """float32, (S, r), nats."""
    kl: np.ndarray
    """float32, (S, r), nats: KL(full || pruned)."""
    top_ids: np.ndarray
    top_logprobs: np.ndarray


def compare(
    head: Head,
    full: Tensor,
    states: Tensor,
    targets: Tensor,
    top_k: int,
    on_rows: Callable[[int], None] = lambda _n: None,
) -> Damage:
    """Read the predictions of every setting against those of the full cache.

    Parameters
    ----------
    head : Head
        Vocabulary head.
    full : Tensor, shape (r, D)
        Final states with the full cache.
    states : Tensor, shape (S, r, D)
        Final states of the settings.
    targets : Tensor, int64, shape (r,)
        Token that came after each row.
    top_k : int
        Alternatives kept.
    on_rows : callable
        Called with the number of rows of each finished block.

    Notes
    -----
    KL(p || q) = sum p (ln p - ln q) over the whole vocabulary, in float32; logits exist for one block of rows at
    a time.
    """
    n_settings, r, _ = states.shape
    k = min(top_k, head.vocab_size)
    surprisal = np.zeros((n_settings, r), np.float32)
    kl = np.zeros((n_settings, r), np.float32)
    top_ids = np.zeros((n_settings, r, k), np.int64)
    top_logprobs = np.zeros((n_settings, r, k), np.float32)
    height = min(r, rows_per_block(head))
    # Settings that share one product: it is far from its best speed on few rows.
    together = max(1, min(n_settings, _BLOCKS_TOGETHER * rows_per_block(head) // height))
    shape = height, head.vocab_size
    log_p_place, p_place = (torch.empty(shape, device=head.weight.device) for _ in range(2))
    places = [torch.empty(together, *shape, device=head.weight.device) for _ in range(3)]
    for begin in range(0, r, height):
        rows = slice(begin, min(begin + height, r))
        count = rows.stop - begin
        log_p, p = distribution(head.logits(full[rows], log_p_place[:count]), p_place[:count])
        negative_entropy = -entropy_of(log_p, p, places[2][0, :count])
        target = targets[rows, None].to(log_p.device)
        for first in range(0, n_settings, together):
            some = slice(first, min(first + together, n_settings))
            logits, probs, scratch = (_flat(place, some.stop - first, count) for place in places)
            head.logits(states[some, rows].flatten(0, 1), logits.flatten(0, 1))
            log_q, _ = distribution(logits, probs)
            cross = torch.mul(p, log_q, out=scratch).sum(-1)
            kl[some, rows] = (negative_entropy - cross).clamp(min=0).cpu().numpy()
            of_target = log_q.gather(-1, target.expand(some.stop - first, -1, -1))
            surprisal[some, rows] = -of_target[..., 0].cpu().numpy()
            values, ids = log_q.topk(k, dim=-1)
            top_ids[some, rows], top_logprobs[some, rows] = ids.cpu().numpy(), values.cpu().numpy()
            on_rows(count * (some.stop - first))
    return Damage(surprisal, kl, top_ids, top_logprobs)


def _flat(place: Tensor, n_settings: int, rows: int) -> Tensor:
    """The first part of a place (S, r, V) as a contiguous one for fewer settings and rows."""
    return place.view(-1, place.shape[-1])[: n_settings * rows].view(n_settings, rows, -1)
