"""A sweep's result from the parts that a run has so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.forward.read_cache import state_bytes
from analysis.models.token_names import token_texts
from analysis.pruning_effects.eviction.context_run import ContextRun
from analysis.pruning_effects.eviction.damage import Damage, compare, join
from analysis.pruning_effects.eviction.results import Setting, Sweep, SweepSpec
from analysis.pruning_effects.eviction.texts import SweepTexts, first_tokens


def before_eviction(run: ContextRun, texts: SweepTexts, top_k: int) -> Damage:
    """Prediction of the first token of the continuation, one row of one setting: the same for all settings."""
    assert run.prefix.final_states is not None
    last = run.prefix.final_states[-1:]
    return compare(run.model.anatomy.head, last, last[None], texts.continuation.ids[:1], top_k)


def assemble(
    run: ContextRun,
    texts: SweepTexts,
    settings: Sequence[Setting],
    before: Damage,
    damage: Damage,
    kept: np.ndarray,
    future: np.ndarray,
    *,
    continuation_seconds: float,
    mode: str = "prefill",
    mass: np.ndarray | None = None,
) -> Sweep:
    """Put the finished settings together.

    Parameters
    ----------
    run : ContextRun
        The context.
    texts : SweepTexts
        That context and what followed it.
    settings : sequence of Setting
        S of them, the full cache first.
    before : Damage
        From :func:`before_eviction`.
    damage : Damage
        What they did to tokens 1, 2, ... of the continuation, as far as it was read.
    kept : ndarray of bool, shape (S, L, G, n)
        Context tokens kept.
    future : ndarray, shape (L, G, n)
        Attention that the continuation pays under the full cache.
    continuation_seconds : float
        Time since the context was read.
    mode : {"prefill", "decode"}
        When tokens were evicted.
    mass : ndarray, shape (S,), optional
        Retained attention mass; by default that of ``kept``.
    """
    info, prefix = run.model.info, run.prefix
    whole = join([join([before] * len(settings), 0), damage], 1)
    n_read = whole.kl.shape[1]
    after = first_tokens(texts.continuation.tokens, n_read)
    context_ids, ids = texts.context.tokens.token_id, after.token_id
    known = np.unique(np.concatenate([whole.top_ids.ravel(), context_ids, ids]))
    names = token_texts(run.model.tokenizer, known)
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
            n_answer=texts.n_answer if n_read == len(texts.continuation) else 0,
            n_layers=len(prefix.keys),
            n_kv_heads=kept.shape[2],
            head_size=prefix.keys[0].shape[-1],
            mode=mode,
            layer_numbers=tuple(prefix.layer_numbers),
            state_bytes=0 if prefix.recurrent is None else state_bytes(prefix.recurrent),
        ),
        context=texts.context.text,
        continuation=texts.continuation.text,
        context_tokens=tuple(names[int(i)] for i in context_ids),
        continuation_tokens=tuple(names[int(i)] for i in ids),
        continuation_ids=ids,
        context_encoding=texts.context.tokens,
        continuation_encoding=after,
        settings=tuple(settings),
        surprisal=whole.surprisal,
        kl=whole.kl,
        top_ids=whole.top_ids,
        top_logprobs=whole.top_logprobs,
        mass=mass.astype(np.float32),
        kept_bits=np.stack([np.packbits(mask) for mask in kept]),
        future=future.astype(np.float32),
        names=names,
        skipped=dict(run.plan.skipped),
        seconds={**run.seconds, "continuation": continuation_seconds},
        checks=run.checks,
    )


def retained_mass(retained: np.ndarray, paid: np.ndarray) -> np.ndarray:
    """Share of attention (S, L, G) in what was paid to the context (L, G), mean over the layers and heads that pay any."""
    some = paid > 0
    if not some.any():
        return np.full(len(retained), np.nan)
    return np.asarray((retained[:, some] / paid[some]).mean(-1))
