"""What follows a context, token by token, while the cache is evicted after every step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from analysis.kv_cache.continuation import run_continuation
from analysis.kv_cache.eviction_attention import GeneratedCache
from analysis.kv_cache.prefill import Prefix
from analysis.models.loading import LanguageModel

AfterStep = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""Called after step t with t, the newest token's final states (S, 1, D) and weights (S, L, H, n + t + 1), and what
was alive, (S, L, G, n + t + 1); says what stays."""


def run_steps(
    model: LanguageModel, prefix: Prefix, ids: Tensor, keep: Tensor, after_step: AfterStep
) -> Tensor:
    """Read a continuation one token at a time by all settings at once.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    prefix : Prefix
        The context.
    ids : Tensor, int64, shape (m,)
        The continuation.
    keep : Tensor of bool, shape (S, L, G, n)
        What is left of the context before the first step.
    after_step : callable
        Takes the states, and evicts. Raising from it stops the run.

    Returns
    -------
    Tensor of bool, shape (S, L, G, n + m)
        What is alive after the last step.

    Notes
    -----
    A token sees what is alive and itself, whatever becomes of it afterwards. All keep their positions.
    """
    n, m = prefix.n_tokens, len(ids)
    n_settings, n_layers, n_groups, _ = keep.shape
    own, alive = GeneratedCache(), keep
    weights: Tensor | None = None

    def take(layer: int, group: int, rows: slice, old: Tensor, new: Tensor) -> None:
        nonlocal weights
        heads = old.shape[1]
        if weights is None:
            weights = torch.zeros(n_settings, n_layers, n_groups * heads, n + m, device=old.device)
        at = slice(group * heads, (group + 1) * heads)
        weights[rows, layer, at, :n] = old[:, :, 0]
        weights[rows, layer, at, n : n + new.shape[-1]] = new[:, :, 0]

    for t in range(m):
        own.alive = alive[..., n:].to(model.anatomy.head.weight.device) if t else None
        states = run_continuation(model, prefix, ids[t : t + 1], alive[..., :n], own=own, observe=take)
        assert weights is not None
        alive = torch.cat([alive, torch.ones(n_settings, n_layers, n_groups, 1, dtype=torch.bool)], -1)
        alive = after_step(t, states, weights[..., : n + t + 1].cpu(), alive)
    return alive
