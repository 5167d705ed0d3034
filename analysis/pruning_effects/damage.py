"""What an eviction does to the next predictions: surprisal, KL to the full cache, first choices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.forward.readout import distribution, entropy_of, rows_per_block
from analysis.models.anatomy import Head


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
    shape = (min(r, rows_per_block(head)), head.vocab_size)
    buffers = [torch.empty(shape, dtype=torch.float32, device=head.weight.device) for _ in range(5)]
    for begin in range(0, r, shape[0]):
        rows = slice(begin, min(begin + shape[0], r))
        log_p, p, logits, probs, scratch = (buffer[: rows.stop - begin] for buffer in buffers)
        log_p, p = distribution(head.logits(full[rows], log_p), p)
        negative_entropy = -entropy_of(log_p, p, scratch)
        target = targets[rows, None].to(log_p.device)
        for s in range(n_settings):
            log_q, _ = distribution(head.logits(states[s, rows], logits), probs)
            cross = torch.mul(p, log_q, out=scratch).sum(-1)
            kl[s, rows] = (negative_entropy - cross).clamp(min=0).cpu().numpy()
            surprisal[s, rows] = -log_q.gather(1, target)[:, 0].cpu().numpy()
            values, ids = log_q.topk(k, dim=-1)
            top_ids[s, rows], top_logprobs[s, rows] = ids.cpu().numpy(), values.cpu().numpy()
            on_rows(rows.stop - begin)
    return Damage(surprisal, kl, top_ids, top_logprobs)
