"""The first tokens of a continuation by the library's own cached step, from the same keys and values."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.errors import UnsupportedModelError
from analysis.forward.attention_probe import state_difference, why
from analysis.forward.row_check import tolerance
from analysis.kv_cache.continuation import run_continuation
from analysis.models.body import hooks, run_body
from analysis.models.memory import free_bytes
from analysis.results.trace import Check

if TYPE_CHECKING:
    from analysis.kv_cache.prefill import Prefix
    from analysis.models.loading import LanguageModel

STEP_TOKENS = 4
"""Tokens that are read both ways."""
_USABLE = 0.5
"""Share of the free memory that a copy of the cache may take."""


def check_continuation(
    model: LanguageModel, prefix: Prefix, ids: Tensor, ours: Tensor | None = None
) -> list[Check]:
    """Hold a continuation with nothing evicted against the library's own.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    prefix : Prefix
        The context.
    ids : Tensor, int64, shape (m,)
        What follows it; the first few tokens are read.
    ours : Tensor, shape (p, D), optional
        Final states that a run found for its first tokens with nothing evicted; read here by default.

    Returns
    -------
    list of Check
        Largest difference of the final states, as a share of the largest; empty where a copy of the cache
        would take more than half of the free memory.

    Raises
    ------
    UnsupportedModelError
        If they differ, or the library cannot go on from its own cache.
    """
    size = sum(x.numel() * x.element_size() for x in [*prefix.keys, *prefix.values])
    if size > _USABLE * free_bytes(prefix.keys[0].device):
        return []
    some = ids[: STEP_TOKENS if ours is None else min(STEP_TOKENS, len(ours))]
    shape = 1, len(prefix.keys), prefix.keys[0].shape[0], prefix.n_tokens
    try:
        if ours is None:
            ours = run_continuation(model, prefix, some, torch.ones(shape, dtype=torch.bool))[0]
        theirs = _library_states(model, prefix, some).float()
    except UnsupportedModelError:
        raise
    except Exception as error:
        raise _refused(model, why(error)) from error
    difference = state_difference(model, ours[: len(some)].float(), theirs)
    name = f"first {len(some)} tokens after the context equal the library's cached step"
    check = Check(name, difference, tolerance(model.info.dtype), "of a state")
    if not check.passed:
        raise _refused(
            model, f"What follows the context differs from the library's by {difference:.2g} of a state."
        )
    return [check]


def _refused(model: LanguageModel, reason: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"The cache of {model.info.name} cannot be pruned here. {reason}", "Choose another model."
    )


def library_cache(model: LanguageModel, prefix: Prefix) -> Any:
    """The library's own cache after a context, states of layers without attention included."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.model.config)
    if prefix.recurrent is not None:
        for layer, read in zip(cache.layers, prefix.recurrent.layers, strict=True):
            vars(layer).update(copy.deepcopy(vars(read)))
    dtype = model.anatomy.head.weight.dtype
    for number, key, value in zip(prefix.layer_numbers, prefix.keys, prefix.values, strict=True):
        # a layer that shares another one's keys has a place that holds none (transformers 5.23.0: DummyLayer)
        kind = type(cache.layers[number]).__name__ if number < len(cache.layers) else ""
        if kind == "DummyLayer":
            continue
        states = key[None].to(dtype), value[None].to(dtype)
        if kind == "DynamicLayer":  # its update copies
            cache.layers[number].lazy_initialization(*states)
            cache.layers[number].keys, cache.layers[number].values = states
        else:
            cache.update(*states, number)
    return cache


def _library_states(model: LanguageModel, prefix: Prefix, ids: Tensor) -> Tensor:
    """Final states (m, D) under the model's own attention; a recurrence reads one token at a time."""
    anatomy, cache = model.anatomy, library_cache(model, prefix)
    device, start = anatomy.head.weight.device, prefix.n_tokens
    found: list[Tensor] = []
    steps = [ids] if prefix.recurrent is None else list(ids.split(1))
    with hooks() as handles:
        caught = anatomy.watch_final(handles)
        for step in steps:
            places = torch.arange(start, start + len(step), device=device)[None]
            run_body(model.model, step[None].to(device), places, cache)
            found.append(caught["final"][0])
            start += len(step)
    return torch.cat(found)
