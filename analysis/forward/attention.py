"""Attention that measures: the layer's true output and every statistic of its map, in one pass.

A block of query rows of the attention matrix exists, gives the output, the entropy of its
rows and its share of every column sum, and is gone. Memory grows with T. Masks, windows,
soft-capped scores, learned sink logits and any head size go the same way. On a CPU every thread
has blocks of its own. Nothing is read
back from the device: what is small stays there, and the caller fetches it when the pass is over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from analysis.forward.row_sums import Attended, RowSums
from analysis.forward.threads import n_threads, share_out
from analysis.forward.visibility import CAUSAL, AttentionSpan, Visibility, blocked
from analysis.units import from_nats

_BLOCK_BYTES, _CUDA_BLOCK_BYTES = 4 << 20, 256 << 20
_LEAST_BYTES, _SHARED_BYTES = 1 << 20, 16 << 20
"""A block of one of many threads has at least the first, and all together the second: they share a cache."""
_CUDA_SHARE = 8
"""Part of a CUDA device's free memory that a block may take: one in so many."""
LANES = 16
"""Runs of blocks that threads share out, at least, where there are so many blocks. Each sums its own columns, so
what a run finds does not depend on which thread was free."""
STEP, _MOST_ROWS, _MOST_CUDA_ROWS = 32, 128, 512
"""Rows of a block come in steps: other heights of a product are up to a fifth slower. More rows waste more of the
triangle that no query sees."""
_MASKED = -1e30
"""Score of a pair that is not seen: exp() of it is 0, and 0 times it is 0, not NaN."""
_BITS = from_nats(1.0, "bits")
"""Bits in a nat. Scores are taken in bits: powers of 2 cost a third of powers of e."""


class Room:
    """Memory for blocks of scores, used again by every block and layer.

    Blocks grow with the keys they see. Freed and made anew each time, none would fit where the last one was.
    """

    def __init__(self) -> None:
        self._places: Tensor | None = None

    def places(self, numbers: int, device: torch.device) -> Tensor:
        """For every thread two places of at least so many float32 numbers each, (threads, 2, n).

        All begin at a multiple of 64 bytes: a product may be rounded otherwise elsewhere.
        """
        threads, places, numbers = n_threads(device), self._places, -(-numbers // 16) * 16
        if places is None or places.device != device or places.shape[2] < numbers or len(places) < threads:
            self._places = places = None  # goes before the next one comes
            self._places = places = torch.empty(threads, 2, numbers, device=device)
        return places


def block_bytes(device: torch.device, threads: int = 1) -> int:
    """Size of one block of scores: small enough to stay in a CPU's cache, or in what is free of a CUDA device.

    Parameters
    ----------
    device : torch.device
        Where the block is.
    threads : int
        Threads of a CPU that have a block each.
    """
    if device.type == "cpu":
        return max(_LEAST_BYTES, min(_BLOCK_BYTES, _SHARED_BYTES // threads))
    if device.type != "cuda":
        return _CUDA_BLOCK_BYTES
    free, _total = torch.cuda.mem_get_info(device)
    spare = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(_BLOCK_BYTES, min(_CUDA_BLOCK_BYTES, (free + spare) // _CUDA_SHARE))


def blocks(
    n_tokens: int, heads: int, span: AttentionSpan, device: torch.device
) -> Iterator[tuple[range, range]]:
    """Rows and keys of the blocks of one KV head: as many rows as fit, the fewer the more keys they see.

    Parameters
    ----------
    n_tokens : int
        T.
    heads : int
        Query heads of the KV head.
    span : AttentionSpan
        What a query sees.
    device : torch.device
        Where the block is.
    """
    limit = block_bytes(device, n_threads(device)) // (4 * heads)
    most = _MOST_CUDA_ROWS if device.type == "cuda" else _MOST_ROWS
    begin = 0
    while begin < n_tokens:
        first = span.first_key(begin)
        size = most
        while size > STEP and size * (begin + size - first) > limit:
            size -= STEP
        rows = range(begin, min(begin + size, n_tokens))
        yield rows, range(first, rows.stop)
        begin = rows.stop


def lanes(n_groups: int, n_blocks: int, device: torch.device) -> int:
    """Lanes of one KV head's blocks: every lane takes every so manyth of them."""
    return min(n_blocks, -(-LANES // n_groups)) if device.type == "cpu" else 1


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
    room: Room | None = None,
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
    room : Room, optional
        Memory that several layers use; a layer's own by default.

    Notes
    -----
    With scores s in bits, m their row maximum and ``t = sum_j 2^(s_j - m)``: row entropy is
    ``ln t - ln 2 sum_j 2^(s_j - m) (s_j - m) / t``; all in float32, column sums in float64.
    """
    n_heads, n_tokens, _ = query.shape
    per_group, device = n_heads // key.shape[0], query.device
    if weightings is None:
        weightings = torch.ones(n_tokens, 1, device=device)
    bits = None if softcap is None else softcap * _BITS
    sinks = None if sink_logits is None else (sink_logits.float() * _BITS)[:, None, None]
    sums = RowSums.of(n_heads, n_tokens, sinks is not None, device)
    output = torch.empty(n_tokens, n_heads, value.shape[-1], dtype=query.dtype, device=device)
    output = output.transpose(0, 1)  # as the layer wants it: what follows copies nothing
    n_groups, parts = key.shape[0], list(blocks(n_tokens, per_group, span, device))
    n_lanes = lanes(n_groups, len(parts), device)
    columns = torch.zeros(n_lanes, n_heads, weightings.shape[1], n_tokens, dtype=torch.float64, device=device)
    largest = max(len(rows) * len(keys) for rows, keys in parts)
    places = (room or Room()).places(per_group * largest, device)

    def run(part: tuple[int, int], thread: int) -> None:
        group, lane = part
        heads = slice(group * per_group, (group + 1) * per_group)
        hidden = visibility.hidden_keys(layer, group, device) if visibility else None
        states = query[heads], key[group].float(), value[group].float()
        block = HeadGroup(*states, scale * _BITS, bits, hidden, places[thread])
        own = None if sinks is None else sinks[heads]
        for rows, keys in parts[lane::n_lanes]:
            here = slice(rows.start, rows.stop)
            weights, share = block.weights(rows, keys, span, visibility, own, sums.at(heads, rows))
            by_query = (share * weightings[here]).transpose(1, 2)
            columns[lane, heads, :, keys.start : keys.stop] += by_query @ weights
            mixed = weights.view(-1, len(keys)) @ block.value[keys.start : keys.stop]
            torch.mul(mixed.view(per_group, len(rows), -1), share, out=output[heads, here])

    share_out(run, product(range(n_groups), range(n_lanes)), device)
    for head in visibility.heads_silenced(layer) if visibility else []:
        output[head] = 0
    return sums.attended(output, columns.sum(0))


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
    hidden: Tensor | None
    places: Tensor | None = None
    """(2, n): room for a block of scores and for its exponentials; made anew without it."""

    def _place(self, which: int, *shape: int) -> Tensor:
        if self.places is None:
            return torch.empty(shape, device=self.query.device)
        return self.places[which, : math.prod(shape)].view(shape)

    def scores(self, rows: range, keys: range, span: AttentionSpan, visibility: Visibility | None) -> Tensor:
        """Masked scores, (heads, rows, keys), in the unit of scale and soft cap."""
        query = self.query[:, rows.start : rows.stop].float()
        scale = self.scale if self.softcap is None else self.scale / self.softcap
        query = torch.mul(query, scale, out=torch.empty(query.shape, device=query.device))
        scores = self._place(0, len(query), len(rows), len(keys))
        flat = scores.view(-1, len(keys))
        torch.mm(query.view(-1, query.shape[-1]), self.key[keys.start : keys.stop].T, out=flat)
        if self.softcap is not None:
            scores.tanh_().mul_(self.softcap)
        general = visibility is not None and (visibility.window is not None or self.hidden is not None)
        if general or span.first_key(rows.stop - 1) > keys.start:
            hide = blocked(rows, keys, span=span, ours=visibility, hidden=self.hidden, device=scores.device)
            return scores.masked_fill_(hide, _MASKED)
        corner = scores[:, :, rows.start - keys.start :]  # only the diagonal block hides anything
        n = len(rows)
        corner.masked_fill_(torch.ones(n, n, dtype=torch.bool, device=scores.device).triu_(1), _MASKED)
        return scores

    def weights(
        self,
        rows: range,
        keys: range,
        span: AttentionSpan,
        visibility: Visibility | None,
        sinks: Tensor | None,
        sums: RowSums,
    ) -> tuple[Tensor, Tensor]:
        """Weights of one block, (heads, rows, keys), and what each row is to be multiplied with, (heads, rows, 1).

        Scores and sinks (heads, 1, 1) are in bits; the block's sums are written.
        """
        scores = self.scores(rows, keys, span, visibility)
        top = scores.amax(-1, keepdim=True)
        if sinks is not None:
            top = torch.maximum(top, sinks)
        scores.sub_(top)
        weights = torch.exp2(scores, out=self._place(1, *scores.shape))
        torch.sum(weights, -1, out=sums.total)
        torch.sum(scores.mul_(weights), -1, out=sums.spread)
        torch.sum(weights[:, -1], -1, dtype=torch.float64, out=sums.checked[:, -1])
        if keys.start == 0:
            sums.first.copy_(weights[..., 0])
        if sinks is not None:
            torch.add(sums.total, (sinks - top).exp2_()[..., 0], out=sums.whole)
        return weights, sums.whole.reciprocal()[..., None]
