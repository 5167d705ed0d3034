"""Attention of new tokens to what is left of a context, one batch row per setting.

Two ways lead to the same numbers. With many queries every setting gathers the keys it keeps and
attends to them alone; with few, one product over the shared keys serves all settings and what they
do not keep is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from analysis.forward.attention import block_bytes
from analysis.forward.attention_adapter import AttentionCall, own_mask
from analysis.forward.read_cache import rows_of
from analysis.forward.visibility import CAUSAL, AttentionSpan
from analysis.kv_cache.gathered_attention import MASKED, attend_gathered
from analysis.kv_cache.prefill import Prefix, wide

_MANY_QUERIES = 32
"""Query rows of a KV head from which on gathering its keys pays."""
Observer = Callable[[int, int, slice, Tensor, Tensor], None]
"""Called with layer, KV head, rows of the batch, and their weights on the context (s, heads, m, n) and on
what follows (s, heads, m, p + m). The tensors are used again afterwards."""
Chooser = Callable[[int, Tensor, Tensor], Tensor]
"""Called with layer, queries (H, m, d) and their positions (m,); says which context tokens each query
attends to, bool, (m, n)."""


@dataclass(frozen=True, eq=False)
class Special:
    """What one setting does beyond hiding tokens."""

    start: int | None = None
    """Position of the first token after the context; the context's length by default."""
    keys: list[Tensor] | None = None
    """Per layer with attention (G, n, d): the context's keys as this setting has them."""
    choose: Chooser | None = None
    active: Tensor | None = None
    """bool, (L, m): layers that each new token runs; it passes the others by."""

    @property
    def alone(self) -> bool:
        """Whether the row shares no scores with its neighbours."""
        return self.keys is not None or self.choose is not None


@dataclass(eq=False)
class GeneratedCache:
    """What every setting has read after the context, token by token."""

    keys: dict[int, Tensor] = field(default_factory=dict)
    """By layer with attention, (S, G, p, d)."""
    values: dict[int, Tensor] = field(default_factory=dict)
    recurrent: Any = None
    """Cache of transformers with the states of layers that keep no keys, one row per setting."""
    alive: Tensor | None = None
    """bool, (S, K, G, p): those not evicted; all by default."""

    @property
    def n_tokens(self) -> int:
        """How many there are, p."""
        return next(iter(self.keys.values())).shape[2] if self.keys else 0

    def add(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append (S, G, m, d) to one layer; all of it."""
        if layer in self.keys:
            key = torch.cat([self.keys[layer], key], 2)
            value = torch.cat([self.values[layer], value], 2)
        self.keys[layer], self.values[layer] = key, value
        return key, value

    def rows(self, chosen: Sequence[int]) -> GeneratedCache:
        """What these settings have read."""
        return GeneratedCache(
            {layer: key[list(chosen)] for layer, key in self.keys.items()},
            {layer: value[list(chosen)] for layer, value in self.values.items()},
            None if self.recurrent is None else rows_of(self.recurrent, chosen),
            None if self.alive is None else self.alive[list(chosen)],
        )


@dataclass(frozen=True)
class _Call:
    """How one layer attends."""

    layer: int
    """Its place among the layers that have attention."""
    scale: float
    softcap: float | None
    span: AttentionSpan
    sinks: Tensor | None

    @property
    def plain(self) -> bool:
        return self.softcap is None and self.span == CAUSAL and self.sinks is None


@dataclass(eq=False)
class KeptAttention:
    """The attention of a batch of settings, layer by layer; an :data:`analysis.forward.attention_adapter.Attend`."""

    prefix: Prefix
    keep: Tensor
    """bool, (S, K, G, n)."""
    special: dict[int, Special]
    own: GeneratedCache | None
    observe: Observer | None
    watched: int
    """Rows, from the first, that the observer sees."""
    places: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.int64))
    """int64, (S, m): positions of the new tokens."""
    _chosen: dict[int, Tensor] = field(default_factory=dict)

    def __call__(self, handed: AttentionCall) -> Tensor:
        """Attend for one layer: (S, H, m, dv)."""
        own_mask(handed, rows=len(self.keep))
        query, key, value = handed.query, handed.key, handed.value
        if self.keep.device != query.device:  # layers on another device than those before
            self.keep, self.places = self.keep.to(query.device), self.places.to(query.device)
        layer = self.prefix.layer_numbers.index(handed.layer)
        call = _Call(layer, handed.scale, handed.softcap, handed.span, handed.sink_logits)
        self._chosen = {
            row: extra.choose(call.layer, query[row], self.places[row])
            for row, extra in self.special.items()
            if extra.choose is not None
        }
        if self.own is not None:
            key, value = self.own.add(call.layer, key, value)
        out = torch.empty(*query.shape[:3], value.shape[-1], dtype=query.dtype, device=query.device)
        n_groups, m = key.shape[1], query.shape[2]
        gathered = self._gathered_rows(call, query.shape[1] // n_groups * m)
        if gathered:
            self._attend_gathered(call, gathered, query, key, value, out)
        done = {row for rows in gathered for row in rows}
        by_group, result = (x.unflatten(1, (n_groups, -1)) for x in (query, out))
        for rows, groups in self._blocks(query.shape[1], n_groups, m, done):
            parts = by_group[rows, groups], key[rows, groups], value[rows, groups]
            result[rows, groups] = self._masked(call, rows, groups, *map(wide, parts)).to(out.dtype)
        return out

    def _gathered_rows(self, call: _Call, n_queries: int) -> list[list[int]]:
        """Rows that attend to gathered keys, together where they share keys and keep equally many.

        An observer wants weights on all of the context: of the rows it sees, only those that keep it all.
        """
        if (
            not call.plain
            or n_queries < _MANY_QUERIES
            or (self.own is not None and self.own.alive is not None)
        ):
            return []
        counts = self.keep[:, call.layer].sum(-1)
        equal = (counts == counts[:, :1]).all(-1).tolist()
        together: dict[tuple[int, int], list[int]] = {}
        for row, count in enumerate(counts[:, 0].tolist()):
            seen = row >= self.watched or count == self.prefix.n_tokens
            if equal[row] and seen:
                alone = row in self.special and self.special[row].alone
                together.setdefault((count, row if alone else -1), []).append(row)
        return list(together.values())

    def _context(self, layer: int, row: int) -> tuple[Tensor, Tensor]:
        """The context's keys and values (G, n, d) as one row has them."""
        keys = self.special.get(row, Special()).keys or self.prefix.keys
        return keys[layer], self.prefix.values[layer]

    def _attend_gathered(
        self, call: _Call, together: list[list[int]], query: Tensor, key: Tensor, value: Tensor, out: Tensor
    ) -> None:
        """Attend from some rows to the keys they keep alone and to what came before each token.

        Queries (S, H, m, d), new keys and values (S, G, p, d), output (S, H, m, dv).
        """
        (n_groups, n_own), m, n = key.shape[1:3], query.shape[2], self.prefix.n_tokens
        query = (wide(query) * call.scale).reshape(len(query), n_groups, -1, query.shape[-1])
        new = torch.cat([wide(key), wide(value)], -1).flatten(0, 2)
        own = n_groups * n + torch.arange(len(new), device=new.device).view(-1, n_groups, n_own)
        later = torch.ones(m, n_own, dtype=torch.bool, device=new.device).triu(n_own - m + 1)
        tables: dict[tuple[int, int], Tensor] = {}
        for rows in together:
            before = self._context(call.layer, rows[0])
            which = id(before[0]), id(before[1])
            if which not in tables:
                tables[which] = torch.cat([torch.cat(before, -1).flatten(0, 1), new])
            these = torch.tensor(rows, device=new.device)
            found = self.keep[:, call.layer].index_select(0, these).nonzero()
            kept = (found[:, 1] * n + found[:, 2]).view(len(rows) * n_groups, -1)
            places = torch.cat([kept, own[rows].flatten(0, 1)], 1)
            chosen = self._chosen.get(rows[0])  # such a row keeps all
            hidden = later if chosen is None else torch.cat([~chosen, later], 1)
            hidden = hidden.repeat(out.shape[1] // n_groups, 1)
            watch = self._watch(call.layer, rows, n_groups, m) if rows[0] < self.watched else None
            asking = query.index_select(0, these).flatten(0, 1)
            mixed = attend_gathered(asking, tables[which], places, hidden, watch)
            out.index_copy_(0, these, mixed.view(len(rows), -1, m, out.shape[-1]).to(out.dtype))

    def _watch(self, layer: int, rows: list[int], n_groups: int, m: int) -> Callable[[int, Tensor], None]:
        """What hands the weights of rows that keep the whole context to the observer."""
        n = self.prefix.n_tokens

        def watch(batch: int, weights: Tensor) -> None:
            row, group = rows[batch // n_groups], batch % n_groups
            if self.observe is not None and row < self.watched:
                each = weights.view(1, -1, m, weights.shape[-1])
                self.observe(layer, group, slice(row, row + 1), each[..., :n], each[..., n:])

        return watch

    def _blocks(self, n_heads: int, n_groups: int, m: int, done: set[int]) -> Iterator[tuple[slice, slice]]:
        """Rows not done yet, as many together as fill one block of scores, and their KV heads, all or one by one."""
        budget, row_bytes = block_bytes(self.keep.device), 4 * n_heads * m * (self.prefix.n_tokens + m)
        size = max(1, budget // row_bytes)
        alone = {row for row, extra in self.special.items() if extra.alone} | done
        width = n_groups if row_bytes <= budget else 1
        begin = 0
        while begin < len(self.keep):
            end = begin + 1
            while end < len(self.keep) and end - begin < size and not {begin, end} & alone:
                end += 1
            for group in range(0, n_groups, width) if begin not in done else ():
                yield slice(begin, end), slice(group, group + width)
            begin = end

    def _masked(
        self, call: _Call, rows: slice, groups: slice, query: Tensor, key: Tensor, value: Tensor
    ) -> Tensor:
        """Attend from some rows and KV heads to all keys, those not kept hidden by a mask.

        Queries (s, G, heads, m, d), new keys and values (s, G, p, d), output (s, G, heads, m, dv); inside, the
        KV heads come first, because the context's keys are the same in all rows.
        """
        s, n_groups, heads, m, width = query.shape
        n, layer, n_own = self.prefix.n_tokens, call.layer, key.shape[2]
        before, mixed = (x[groups] for x in self._context(layer, rows.start))
        shape = n_groups, s, heads, m
        asking = (query * call.scale).transpose(0, 1).reshape(n_groups, -1, width).contiguous()
        key, value = (x.transpose(0, 1).flatten(0, 1) for x in (key, value))
        old = torch.bmm(asking, before.transpose(1, 2)).view(*shape, n)
        new = torch.bmm(asking.view(len(key), -1, width), key.transpose(1, 2)).view(*shape, n_own)
        if call.softcap is not None:
            old.div_(call.softcap).tanh_().mul_(call.softcap)
            new.div_(call.softcap).tanh_().mul_(call.softcap)
        old.masked_fill_(~self.keep[rows, layer, groups].transpose(0, 1)[:, :, None, None], MASKED)
        if rows.start in self._chosen:
            old.masked_fill_(~self._chosen[rows.start], MASKED)
        i = n + torch.arange(n_own - m, n_own, device=query.device)[:, None]
        j = torch.arange(n + n_own, device=query.device)
        hidden = call.span.hides(i, j[n:])
        if call.span != CAUSAL:
            old.masked_fill_(call.span.hides(i, j[:n]), MASKED)
        if n_own > 1:
            new.masked_fill_(hidden, MASKED)
        if self.own is not None and self.own.alive is not None:
            gone = ~self.own.alive[rows, layer, groups].transpose(0, 1)
            new[..., : gone.shape[-1]].masked_fill_(gone[:, :, None, None], MASKED)
        top = torch.maximum(old.amax(-1, keepdim=True), new.amax(-1, keepdim=True))
        sinks = None
        if call.sinks is not None:
            sinks = call.sinks.view(-1, heads)[groups][:, None, :, None, None].float()
            top = torch.maximum(top, sinks)
        old.sub_(top).exp_()
        new.sub_(top).exp_()
        total = old.sum(-1, keepdim=True) + new.sum(-1, keepdim=True)
        if sinks is not None:
            total = total + (sinks - top).exp()
        output = torch.bmm(old.view(n_groups, -1, n), mixed).view(*shape, -1)
        output += torch.bmm(new.view(len(key), -1, n_own), value).view(*shape, -1)
        if self.observe is not None and rows.start < self.watched:
            old.div_(total)
            new.div_(total)
            for at, group in enumerate(range(groups.start, groups.start + n_groups)):
                self.observe(layer, group, rows, old[at], new[at])
        return (output / total).transpose(0, 1)
