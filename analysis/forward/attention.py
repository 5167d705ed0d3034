"""Attention that measures: the layer's true output and every statistic of its map, in one pass.

A block of query rows of the attention matrix exists, gives the output, the entropy of its
rows and its share of every column sum, and is gone. Memory grows with T. Masks, windows,
soft-capped scores, learned sink logits and any head size go the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.forward.visibility import CAUSAL, AttentionSpan, Visibility, blocked

_BLOCK_BYTES, _CUDA_BLOCK_BYTES = 4 << 20, 256 << 20
_MASKED = -1e30
"""Score of a pair that is not seen: exp() of it is 0, and 0 times it is 0, not NaN."""


@dataclass(frozen=True, eq=False)
class Attended:
    """One layer's attention, reduced."""

    output: Tensor
    """(H, T, d), in the precision of the queries."""
    entropy: Tensor
    """(H, T), nats: over the tokens seen, renormalised where a learned sink takes a share."""
    columns: Tensor
    """float64, (H, w, T): ``P^T W``, the column sums weighted by each of the w weightings."""
    first_key: Tensor
    """(H, T): weight of each query on key 0."""
    mass: Tensor
    """(H, T): weight of each query on all tokens; 1 without a learned sink."""
    row_error: float
    """Largest difference of a checked row's sum from its mass."""


def block_bytes(device: torch.device) -> int:
    """Size of one block of scores; small enough to stay in a CPU's cache while they are reduced."""
    return _BLOCK_BYTES if device.type == "cpu" else _CUDA_BLOCK_BYTES


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    softcap: float | None = None,
    span: AttentionSpan = CAUSAL,
    sink_logits: Tensor | None = None,
    weightings: Tensor | None = None,
    visibility: Visibility | None = None,
    layer: int = 0,
) -> Attended:
    """Causal attention of one layer with its statistics.

    Parameters
    ----------
    query : Tensor, shape (H, T, d)
        Query heads; head h uses KV head ``h // (H / G)``.
    key, value : Tensor, shape (G, T, d) and (G, T, dv)
        KV heads.
    scale : float
        Factor on the scores.
    softcap : float, optional
        ``c tanh(x / c)`` on the scaled scores (Gemma 2).
    span : AttentionSpan
        What the model's own mask lets a query see.
    sink_logits : Tensor, shape (H,), optional
        Learned logit beside the scores of every row (gpt-oss).
    weightings : Tensor, shape (T, w), optional
        Weight of each query in the column sums; one weighting of ones by default.
    visibility : Visibility, optional
        Keys hidden and heads silenced on top of the model's own mask.
    layer : int
        For the visibility.

    Notes
    -----
    With scores s, m their row maximum and ``t = sum_j exp(s_j - m)``: row entropy is
    ``ln t - sum_j exp(s_j - m) (s_j - m) / t``; all in float32, column sums in float64.
    """
    n_heads, n_tokens, _ = query.shape
    per_group = n_heads // key.shape[0]
    device = query.device
    if weightings is None:
        weightings = torch.ones(n_tokens, 1, device=device)
    out = Attended(
        output=torch.empty(n_heads, n_tokens, value.shape[-1], dtype=query.dtype, device=device),
        entropy=torch.empty(n_heads, n_tokens, device=device),
        columns=torch.zeros(n_heads, weightings.shape[1], n_tokens, dtype=torch.float64, device=device),
        first_key=torch.zeros(n_heads, n_tokens, device=device),
        mass=torch.ones(n_heads, n_tokens, device=device),
        row_error=0.0,
    )
    size = max(16, min(256, block_bytes(device) // (4 * per_group * n_tokens)))
    # Blocks grow with the keys they see. Freed and made anew each time, none would fit where the last one
    # was, so two places are set aside for all of them.
    widest = min(n_tokens, size + span.widest(n_tokens) - 1)
    places = torch.empty(2, per_group * min(size, n_tokens) * widest, device=device)
    worst = 0.0
    for group in range(key.shape[0]):
        heads = slice(group * per_group, (group + 1) * per_group)
        hidden = visibility.hidden_keys(layer, group) if visibility else None
        block = HeadGroup(
            query[heads], key[group].float(), value[group].float(), scale, softcap, hidden, places
        )
        sinks = None if sink_logits is None else sink_logits[heads, None, None].float()
        for begin in range(0, n_tokens, size):
            rows = range(begin, min(begin + size, n_tokens))
            keys = range(span.first_key(begin), rows.stop)
            error = block.reduce(rows, keys, span, visibility, sinks, weightings, out, heads)
            worst = max(worst, error)
    for head in visibility.heads_silenced(layer) if visibility else []:
        out.output[head] = 0
    return Attended(out.output, out.entropy, out.columns, out.first_key, out.mass, worst)


def last_rows(
    query: Tensor,
    key: Tensor,
    count: int,
    *,
    scale: float,
    softcap: float | None = None,
    span: AttentionSpan = CAUSAL,
    sink_logits: Tensor | None = None,
) -> Tensor:
    """Attention weights of the last queries, float32, shape (H, count, T).

    Parameters are those of :func:`attend`; these are the last rows of the map that it never stores.
    """
    n_heads, n_tokens, _ = query.shape
    per_group = n_heads // key.shape[0]
    rows = range(max(0, n_tokens - count), n_tokens)
    out = torch.empty(n_heads, len(rows), n_tokens, device=query.device)
    for group in range(key.shape[0]):
        heads = slice(group * per_group, (group + 1) * per_group)
        keys = key[group].float()
        scores = HeadGroup(query[heads], keys, keys, scale, softcap, None).scores(
            rows, range(n_tokens), span, None
        )
        if sink_logits is not None:
            sinks = sink_logits[heads, None, None].float().expand(-1, len(rows), 1)
            out[heads] = torch.cat([scores, sinks], -1).softmax(-1)[..., :-1]
        else:
            out[heads] = scores.softmax(-1)
    return out


@dataclass(frozen=True, eq=False)
class HeadGroup:
    """The query heads of one KV head."""

    query: Tensor
    key: Tensor
    value: Tensor
    scale: float
    softcap: float | None
    hidden: np.ndarray | None
    places: Tensor | None = None
    """(2, n): room for a block of scores and for its exponentials; made anew without it."""

    def _place(self, which: int, *shape: int) -> Tensor:
        if self.places is None:
            return torch.empty(shape, device=self.query.device)
        return self.places[which, : math.prod(shape)].view(shape)

    def scores(self, rows: range, keys: range, span: AttentionSpan, visibility: Visibility | None) -> Tensor:
        """Masked scores, (heads, rows, keys)."""
        query = self.query[:, rows.start : rows.stop].float() * self.scale
        scores = self._place(0, len(query), len(rows), len(keys))
        flat = scores.view(-1, len(keys))
        torch.mm(query.reshape(-1, query.shape[-1]), self.key[keys.start : keys.stop].T, out=flat)
        if self.softcap is not None:
            scores.div_(self.softcap).tanh_().mul_(self.softcap)
        general = visibility is not None and (visibility.window is not None or self.hidden is not None)
        if general or span.first_key(rows.stop - 1) > keys.start:
            hide = blocked(rows, keys, span=span, ours=visibility, hidden=self.hidden, device=scores.device)
            return scores.masked_fill_(hide, _MASKED)
        corner = scores[:, :, rows.start - keys.start :]  # only the diagonal block hides anything
        n = len(rows)
        corner.masked_fill_(torch.ones(n, n, dtype=torch.bool, device=scores.device).triu_(1), _MASKED)
        return scores

    def reduce(
        self,
        rows: range,
        keys: range,
        span: AttentionSpan,
        visibility: Visibility | None,
        sinks: Tensor | None,
        weightings: Tensor,
        out: Attended,
        heads: slice,
    ) -> float:
        """Write one block's share of every result; returns the error of its last row's sum."""
        scores = self.scores(rows, keys, span, visibility)
        top = scores.amax(-1, keepdim=True)
        if sinks is not None:
            top = torch.maximum(top, sinks)
        scores.sub_(top)
        weights = torch.exp(scores, out=self._place(1, *scores.shape))
        total = weights.sum(-1, keepdim=True)
        here = slice(rows.start, rows.stop)
        mean_score = scores.mul_(weights).sum(-1) / total[..., 0]
        out.entropy[heads, here] = total.log()[..., 0] - mean_score
        whole = total if sinks is None else total + (sinks - top).exp()
        share = whole.reciprocal()
        out.mass[heads, here] = (total * share)[..., 0]
        by_query = (share * weightings[here]).transpose(1, 2)
        out.columns[heads, :, keys.start : keys.stop] += by_query @ weights
        if keys.start == 0:
            out.first_key[heads, here] = weights[..., 0] * share[..., 0]
        mixed = weights.view(-1, len(keys)) @ self.value[keys.start : keys.stop]
        out.output[heads, here] = (mixed.view(len(weights), len(rows), -1) * share).to(out.output.dtype)
        last = (weights[:, -1] * share[:, -1]).double().sum(-1)
        return float((last - out.mass[heads, rows.stop - 1]).abs().max())
