"""What follows a context of which parts are evicted, read as any other stream."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from analysis.kv_cache.continuation import run_continuation
from analysis.kv_cache.eviction_attention import GeneratedCache, Special
from analysis.kv_cache.prefill import Prefix
from analysis.models.loading import LanguageModel

Evict = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""Called after token t with t, its final states (S, 1, D) and weights (S, L, H, n + t + 1), and what was alive,
(S, L, G, n + t + 1); says what stays."""


class EvictedStream:
    """Settings that read on after a context, each a row with what it has left of it; the context itself exists once.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller of :meth:`read`.
    prefix : Prefix
        The context.
    alive : Tensor of bool, shape (S, L, G, n)
        What is left of it.
    special : dict of int to Special, optional
        What rows do beyond hiding tokens, for all tokens that they will read.
    evict : callable, optional
        Evicts after every token. Raising from it stops the reading.

    Notes
    -----
    A token sees what is alive and itself, whatever becomes of it afterwards. All keep their positions.
    """

    def __init__(
        self,
        model: LanguageModel,
        prefix: Prefix,
        alive: Tensor,
        special: Mapping[int, Special] | None = None,
        evict: Evict | None = None,
    ) -> None:
        self.model, self.prefix, self.evict = model, prefix, evict
        self.special = dict(special or {})
        self.alive = alive
        """bool, (S, L, G, n), and where tokens are evicted with those read since, (S, L, G, n + p)."""
        self.own = GeneratedCache()

    def read(self, ids: Tensor) -> Tensor:
        """Read on, int64, (S, m); returns what the head gets, (S, m, D)."""
        if self.evict is not None:
            return torch.cat([self._read_and_evict(token, self.evict) for token in ids.split(1, 1)], 1)
        begin, end = self.own.n_tokens, self.own.n_tokens + ids.shape[1]
        now = {
            row: extra if extra.active is None else replace(extra, active=extra.active[:, begin:end])
            for row, extra in self.special.items()
        }
        return run_continuation(self.model, self.prefix, ids, self.alive, special=now, own=self.own)

    def rows(self, chosen: Sequence[int]) -> EvictedStream:
        """These rows alone."""
        new = copy.copy(self)
        new.alive, new.own = self.alive[list(chosen)], self.own.rows(chosen)
        new.special = {i: self.special[row] for i, row in enumerate(chosen) if row in self.special}
        return new

    def _read_and_evict(self, ids: Tensor, evict: Evict) -> Tensor:
        n, t = self.prefix.n_tokens, self.own.n_tokens
        n_settings, n_layers, n_groups, _ = self.alive.shape
        weights: Tensor | None = None

        def take(layer: int, group: int, rows: slice, old: Tensor, new: Tensor) -> None:
            nonlocal weights
            heads = old.shape[1]
            if weights is None:
                weights = torch.zeros(n_settings, n_layers, n_groups * heads, n + t + 1, device=old.device)
            at = slice(group * heads, (group + 1) * heads)
            weights[rows, layer, at, :n] = old[:, :, 0]
            weights[rows, layer, at, n:] = new[:, :, 0]

        self.own.alive = self.alive[..., n:].to(self.model.anatomy.head.weight.device) if t else None
        states = run_continuation(
            self.model, self.prefix, ids, self.alive[..., :n], own=self.own, observe=take
        )
        assert weights is not None
        newest = torch.ones(n_settings, n_layers, n_groups, 1, dtype=torch.bool)
        self.alive = evict(t, states, weights.cpu(), torch.cat([self.alive, newest], -1))
        return states
