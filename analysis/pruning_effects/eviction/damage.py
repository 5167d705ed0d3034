"""What an eviction does to the next predictions: surprisal, KL to the full cache, first choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from analysis.forward.vocabulary_head import FLOOR, rows_per_block
from analysis.models.anatomy import Head
from analysis.ties import ranked


@dataclass(frozen=True, eq=False)
class Damage:
    """Per setting and row."""

    surprisal: np.ndarray
    """float32, (S, r), nats."""
    kl: np.ndarray
    """float32, (S, r), nats: KL(full || pruned)."""
    top_ids: np.ndarray
    top_logprobs: np.ndarray


def join(parts: Sequence[Damage], axis: int) -> Damage:
    """One result from several: of other settings (axis 0) or of later tokens (axis 1)."""
    names = [field.name for field in fields(Damage)]
    return Damage(**{name: np.concatenate([getattr(part, name) for part in parts], axis) for name in names})


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
    a time. With scores s that differ from the logits by a constant, ``ln q = s - ln sum exp(s)``.
    """
    n_settings, r, _ = states.shape
    k = min(top_k, head.vocab_size)
    surprisal = np.zeros((n_settings, r), np.float32)
    kl = np.zeros((n_settings, r), np.float32)
    top_ids = np.zeros((n_settings, r, k), np.int64)
    top_logprobs = np.zeros((n_settings, r, k), np.float32)
    height = min(r, rows_per_block(head))
    # Settings that share one product: it is far from its best speed on few rows.
    together = max(1, min(n_settings, rows_per_block(head) // height))
    shape = height, head.vocab_size
    p_place = torch.empty(shape, device=head.weight.device)
    place = torch.empty(together, *shape, device=head.weight.device)
    for begin in range(0, r, height):
        rows = slice(begin, min(begin + height, r))
        count = rows.stop - begin
        scores, scratch = head.logits(full[rows]), place[0, :count]
        total = _shift(scores, scratch)
        p = torch.sub(scores, total[:, None], out=p_place[:count]).exp_()
        negative_entropy = torch.mul(p, scores, out=scratch).sum(-1) - total
        target = targets[rows, None].to(p.device)
        for first in range(0, n_settings, together):
            some = slice(first, min(first + together, n_settings))
            scratch = _flat(place, some.stop - first, count)
            scores = head.logits(states[some, rows].flatten(0, 1)).view(scratch.shape)
            total = _shift(scores, scratch)
            cross = torch.mul(p, scores, out=scratch).sum(-1) - total
            kl[some, rows] = (negative_entropy - cross).clamp(min=0).cpu().numpy()
            of_target = scores.gather(-1, target.expand(some.stop - first, -1, -1))[..., 0] - total
            surprisal[some, rows] = -of_target.cpu().numpy()
            values, ids = ranked(scores, k)
            top_ids[some, rows] = ids.cpu().numpy()
            top_logprobs[some, rows] = (values - total[..., None]).cpu().numpy()
            on_rows(count * (some.stop - first))
    return Damage(surprisal, kl, top_ids, top_logprobs)


def _shift(logits: Tensor, scratch: Tensor) -> Tensor:
    """Shift logits (..., V) in place so that the largest is 0, and none impossible; ``ln sum exp`` of them."""
    logits.sub_(logits.amax(-1, keepdim=True)).clamp_(min=FLOOR)
    return torch.exp(logits, out=scratch).sum(-1).log()


def _flat(place: Tensor, n_settings: int, rows: int) -> Tensor:
    """The first part of a place (S, r, V) as a contiguous one for fewer settings and rows."""
    return place.view(-1, place.shape[-1])[: n_settings * rows].view(n_settings, rows, -1)
