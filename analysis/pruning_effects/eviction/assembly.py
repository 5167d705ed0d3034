"""A sweep's result from the parts that a run has so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.forward.read_cache import state_bytes
from analysis.models.token_names import token_text
from analysis.pruning_effects.eviction.damage import Damage, compare, join
from analysis.pruning_effects.eviction.results import Setting, Sweep, SweepSpec

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.sweep import SweepWork


def assemble(
    work: SweepWork,
    settings: list[Setting],
    damage: Damage,
    kept: np.ndarray,
    future: np.ndarray,
    *,
    mode: str = "prefill",
    mass: np.ndarray | None = None,
) -> Sweep:
    """Put the finished settings together.

    Parameters
    ----------
    work : SweepWork
        After its prefill.
    settings : list of Setting
        S of them, the full cache first.
    damage : Damage
        What they did to tokens 1, 2, ... of the continuation, as far as it was read.
    kept : ndarray of bool, shape (S, L, G, n)
        Context tokens kept.
    future : ndarray, shape (L, G, n)
        Attention that the continuation pays under the full cache.
    mode : {"prefill", "decode"}
        When tokens were evicted.
    mass : ndarray, shape (S,), optional
        Retained attention mass; by default that of ``kept``.
    """
    info = work.model.info
    whole = join([join([_before_eviction(work)] * len(settings), 0), damage], 1)
    n_read = whole.kl.shape[1]
    context_ids, ids = work.context_ids.numpy(), work.ids.numpy()[:n_read]
    known = np.unique(np.concatenate([whole.top_ids.ravel(), context_ids, ids]))
    names = {int(i): token_text(work.model.tokenizer, int(i)) for i in known}
    if mass is None:
        mass = retained_mass(np.stack([(future * mask).sum(-1) for mask in kept]), future.sum(-1))
    mass = np.where([setting.deletes for setting in settings], mass, np.nan)
    return Sweep(
        spec=SweepSpec(
            model=info.name,
            dtype=info.dtype,
            device=info.device_name,
            n_context=len(context_ids),
            n_continuation=len(ids),
            n_answer=work.n_answer if n_read == len(work.ids) else 0,
            n_layers=len(work.prefix.keys),
            n_kv_heads=kept.shape[2],
            head_size=work.prefix.keys[0].shape[-1],
            mode=mode,
            layer_numbers=tuple(work.prefix.layer_numbers),
            state_bytes=0 if work.prefix.recurrent is None else state_bytes(work.prefix.recurrent),
        ),
        context=work.texts[0],
        continuation=work.texts[1],
        context_tokens=tuple(names[int(i)] for i in context_ids),
        continuation_tokens=tuple(names[int(i)] for i in ids),
        continuation_ids=ids,
        settings=tuple(settings),
        surprisal=whole.surprisal,
        kl=whole.kl,
        top_ids=whole.top_ids,
        top_logprobs=whole.top_logprobs,
        mass=mass.astype(np.float32),
        kept_bits=np.stack([np.packbits(mask) for mask in kept]),
        future=future.astype(np.float32),
        names=names,
        skipped=dict(work.skipped),
        seconds=dict(work.seconds),
        checks=tuple(work.checks),
    )


def retained_mass(retained: np.ndarray, paid: np.ndarray) -> np.ndarray:
    """Share of attention (S, L, G) in what was paid to the context (L, G), mean over the layers and heads that pay any."""
    some = paid > 0
    if not some.any():
        return np.full(len(retained), np.nan)
    return np.asarray((retained[:, some] / paid[some]).mean(-1))


def _before_eviction(work: SweepWork) -> Damage:
    """Prediction of the first token of the continuation: the same for all settings."""
    assert work.prefix.final_states is not None
    last = work.prefix.final_states[-1:]
    return compare(work.model.anatomy.head, last, last[None], work.ids[:1], work.top_k)
