"""What follows a context, token by token, while the cache is evicted after every step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from analysis.forward.continuation import run_continuation
from analysis.forward.kept_attention import Own
from analysis.forward.prefix import Prefix
from analysis.models.loading import LanguageModel

AfterStep = Callable[[int, Tensor, Tensor], Tensor]
"""Called after step t with t, the weights (S, L, H, n + t + 1) of the newest token and what was alive,
(S, L, G, n + t + 1); says what stays."""


def run_steps(
    model: LanguageModel, prefix: Prefix, ids: Tensor, keep: Tensor, after_step: AfterStep
) -> tuple[Tensor, Tensor]:
    """Final states of a continuation that is read one token at a time by all settings at once.

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
        Evicts. Raising from it stops the run.

    Returns
    -------
    tuple of Tensor
        States (S, m, D) after the final norm, and what is alive after the last step, bool, (S, L, G, n + m).

    Notes
    -----
    A token sees what is alive and itself, whatever becomes of it afterwards. All keep their positions.
    """
    n, m = prefix.n_tokens, len(ids)
    n_settings, n_layers, n_groups, _ = keep.shape
    own, states = Own(), []
    alive = keep
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
        states.append(run_continuation(model, prefix, ids[t : t + 1], alive[..., :n], own=own, observe=take))
        assert weights is not None
        alive = torch.cat([alive, torch.ones(n_settings, n_layers, n_groups, 1, dtype=torch.bool)], -1)
        alive = after_step(t, weights[..., : n + t + 1].cpu(), alive)
    return torch.cat(states, 1), alive
