"""Caches from which keys are really gone: bytes, times, and the library's own logits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.kv_cache.capabilities import cache_facts
from analysis.kv_cache.eviction_attention import Special
from analysis.kv_cache.prefill import Prefix
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import Bos
from analysis.progress import Progress, silent
from analysis.pruning_effects.eviction.context_run import READ_SHARE, read_context, setting_of
from analysis.pruning_effects.eviction.planned import plan_settings
from analysis.pruning_effects.eviction.policies import Policy
from analysis.pruning_effects.eviction.results import Setting
from analysis.pruning_effects.eviction.texts import encode_context

_WARM_UP = 2
"""Steps before those that are timed."""


def not_physical(model: LanguageModel, setting: Setting, keep: Tensor) -> str:
    """Why a setting's cache cannot be made physically smaller with the library's attention; empty if it can.

    Parameters
    ----------
    model : LanguageModel
        Whose cache.
    setting : Setting
        Of a sweep.
    keep : Tensor of bool, shape (L, G, n)
        What it keeps.
    """
    if not setting.deletes:
        return "It deletes nothing."
    facts = cache_facts(model)
    if facts.spans:
        return "The library's windows and chunks count entries of the cache, not positions."
    if facts.recurrent:
        return "Layers without attention keep a state that cannot be made smaller; its cost is not measured here."
    if bool((keep.sum(-1) != keep.sum(-1)[:, :1]).any()):
        return "Its KV heads keep different numbers of tokens, and a cache holds one length per layer."
    return ""


def evicted_cache(model: LanguageModel, prefix: Prefix, keep: Tensor, special: Special | None = None) -> Any:
    """A transformers cache that holds kept keys and values alone, in the model's precision.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    prefix : Prefix
        The context.
    keep : Tensor of bool, shape (L, G, n)
        Equally many tokens in all KV heads of a layer.
    special : Special, optional
        Keys or values that this setting has instead.
    """
    from transformers import DynamicCache

    cache, extra = DynamicCache(), special or Special()
    dtype = model.anatomy.head.weight.dtype
    for layer, mask in enumerate(keep):
        parts = []
        for states in (extra.keys or prefix.keys, prefix.values):
            where = mask.to(states[layer].device)
            parts.append(
                torch.stack([x[kept] for x, kept in zip(states[layer], where, strict=True)])[None].to(dtype)
            )
        cache.update(*parts, layer)
    return cache


def cache_bytes(cache: Any) -> int:
    """Bytes of the keys and values in a cache."""
    return sum(x.numel() * x.element_size() for layer in cache.layers for x in (layer.keys, layer.values))


def physical_costs(
    model: LanguageModel,
    context: str,
    policies: Sequence[str | Policy],
    kept: Sequence[float],
    *,
    batches: Sequence[int] = (1, 16),
    steps: int = 8,
    bos: Bos = "auto",
    parse_special: bool = True,
    on_progress: Progress | None = None,
) -> pd.DataFrame:
    """Bytes and decode times of caches from which keys are really gone.

    Parameters
    ----------
    model : LanguageModel
        From :func:`analysis.load_model`.
    context : str
        Read once.
    policies, kept, bos, parse_special
        As for :func:`analysis.sweep_eviction`; random methods are drawn once.
    batches : sequence of int
        Texts decoded at a time, all with the same cache.
    steps : int
        Timed steps after two that are not; the median is given.
    on_progress : callable, optional
        ``on_progress(share, what)``.

    Returns
    -------
    pandas.DataFrame
        One row per setting and batch: ``policy``, ``label``, ``kept``, ``batch``, ``kv_bytes_physical``, ``evict_seconds``,
        ``decode_seconds`` per step, ``prefill_seconds``, ``score_seconds`` (of all methods together), ``why`` (NaN before it
        where a cache cannot be made smaller, with the reason).
    """
    report = on_progress or silent
    rows: list[dict[str, object]] = []
    with model.held("while timing caches"):
        text = encode_context(model, context, bos=bos, parse_special=parse_special)
        plan = plan_settings(model, text, policies, kept)
        model.require_room("Context and timed steps", len(text) + steps + _WARM_UP)
        # The timed steps read the last token again and again.
        run = read_context(model, text.ids, plan, text.ids[-1:].expand(steps), report=report)
        for number, planned in enumerate(plan.settings):
            keep = run.kept_by(planned)
            special = run.specials([planned], keep[None], 1).get(0)
            setting = setting_of(planned, keep, special)
            why = not_physical(model, setting, keep)
            for batch in batches:
                report(
                    READ_SHARE + (1 - READ_SHARE) * number / len(plan.settings),
                    f"{planned.method.label}, batch {batch}",
                )
                cost = {} if why else _cost(model, run.prefix, keep, special, batch, steps)
                rows.append(
                    {
                        "policy": setting.policy,
                        "label": setting.label,
                        "kept": setting.kept,
                        "batch": batch,
                        "kv_bytes_physical": cost.get("bytes", np.nan),
                        "evict_seconds": cost.get("evict", np.nan),
                        "decode_seconds": cost.get("decode", np.nan),
                        "prefill_seconds": run.seconds["prefill"],
                        "score_seconds": run.seconds["score"],
                        "why": why,
                    }
                )
    report(1.0, "done")
    return pd.DataFrame(rows)


def _cost(
    model: LanguageModel, prefix: Prefix, keep: Tensor, special: Special | None, batch: int, steps: int
) -> dict[str, float]:
    """Bytes, seconds to evict, median seconds of a decode step, of one physically evicted cache."""
    device = model.anatomy.head.weight.device

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    begun = now()
    cache = evicted_cache(model, prefix, keep, special)
    evict = now() - begun
    cache.batch_repeat_interleave(batch)
    size, start = cache_bytes(cache), prefix.n_tokens
    if special is not None and special.start is not None:
        start = special.start
    token = prefix.ids[-1:].expand(batch)[:, None].to(device)
    spent = []
    for t in range(steps + _WARM_UP):
        places = torch.full((batch, 1), start + t, device=device)
        begun = now()
        model.model(token, past_key_values=cache, position_ids=places)
        spent.append(now() - begun)
    return {"bytes": size, "evict": evict, "decode": median(spent[_WARM_UP:])}
