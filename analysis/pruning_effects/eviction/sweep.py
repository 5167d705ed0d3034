"""Many evictions of one context's cache: one prefill, one batched continuation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from analysis.kv_cache.continuation import ContextAttention, run_continuation
from analysis.kv_cache.eviction_attention import Special
from analysis.kv_cache.step_check import check_continuation
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import Bos
from analysis.progress import Progress, part, silent
from analysis.pruning_effects.eviction.assembly import assemble, before_eviction
from analysis.pruning_effects.eviction.context_run import READ_SHARE, ContextRun, read_context, setting_of
from analysis.pruning_effects.eviction.damage import Damage, compare, join
from analysis.pruning_effects.eviction.planned import plan_settings
from analysis.pruning_effects.eviction.policies import Policy
from analysis.pruning_effects.eviction.results import Setting, Sweep
from analysis.pruning_effects.eviction.texts import SweepTexts, encode_texts

DEFAULT_POLICIES = ("streaming", "random", "knorm", "h2o", "snapkv", "expected")
DEFAULT_KEPT = (0.9, 0.7, 0.5, 0.3, 0.1)
_BATCH_TOKENS = 2048
"""Tokens of one batch of settings; a sweep shows what it has after each."""
_BODY_SHARE = 0.8
"""How much of a batch's time the body takes."""


def sweep_eviction(
    model: LanguageModel,
    context: str,
    continuation: str,
    policies: Sequence[str | Policy] = DEFAULT_POLICIES,
    kept: Sequence[float] = DEFAULT_KEPT,
    *,
    answer: str = "",
    seeds: int = 5,
    top_k: int = 10,
    bos: Bos = "auto",
    parse_special: bool = True,
    on_progress: Progress | None = None,
    on_partial: Callable[[Sweep], None] | None = None,
) -> Sweep:
    """Prune the cache of a context in many ways and see what that does to what follows.

    Parameters
    ----------
    model : LanguageModel
        From :func:`analysis.load_model`.
    context : str
        Read in full; then its cache is pruned.
    continuation : str
        Read with what is left of the cache, word for word.
    policies : sequence of str or Policy
        Methods, see :data:`analysis.pruning_effects.eviction.policies.POLICIES`.
    kept : sequence of float
        Shares of the context KEPT, above 0 and at most 1. Of equal scores the earlier token stays (analysis.ties).
    answer : str, optional
        Read after the continuation; the log-probability of its tokens is summed.
    seeds : int, default 5
        How often a random method is drawn.
    top_k : int, default 10
        Alternatives kept per token.
    bos : {"auto", "always", "never"}
        Beginning-of-text token of the context; "auto" does what the tokenizer does.
    parse_special : bool, default True
        Read special tokens that the texts spell out as such; False reads them as plain letters.
    on_progress : callable, optional
        ``on_progress(share, what)``.
    on_partial : callable, optional
        Called with the sweep so far, after every batch of settings.

    Returns
    -------
    Sweep
        Setting 0 is the full cache. In models that mix attention with recurrent layers, the keys of the attention
        layers are evicted and the recurrent state, which has read everything, is kept.

    Raises
    ------
    AnalysisError
        Each says what to do: empty or too long texts, a share that cannot be kept, an unknown method, a model whose
        attention cannot be measured.
    """
    report = on_progress or silent
    with model.held("while comparing methods"):
        texts = encode_texts(model, context, continuation, answer, bos=bos, parse_special=parse_special)
        plan = plan_settings(model, texts.context, policies, kept, seeds=seeds)
        run = read_context(model, texts.context.ids, plan, None, report=report)
        return evaluate(run, texts, top_k=top_k, report=report, on_partial=on_partial)


def evaluate(
    run: ContextRun,
    texts: SweepTexts,
    *,
    top_k: int,
    report: Progress = silent,
    on_partial: Callable[[Sweep], None] | None = None,
) -> Sweep:
    """Read the continuation under every setting of a plan, a batch of settings at a time.

    Parameters
    ----------
    run : ContextRun
        The context; the lock of its model is held by the caller.
    texts : SweepTexts
        That context and what follows it. Its first tokens are held against the library's own cached step.
    top_k, report, on_partial
        As for :func:`sweep_eviction`; progress goes on from :data:`READ_SHARE`.

    Raises
    ------
    UnsupportedModelError
        If the first tokens after the context differ from the library's own.
    """
    started = time.perf_counter()
    planned, ids = run.plan.settings, texts.continuation.ids
    keep = torch.stack([run.kept_by(one) for one in planned])  # (S, L, G, n)
    size = max(1, _BATCH_TOKENS // (len(ids) - 1))
    begins = range(0, len(keep), size)
    before = before_eviction(run, texts, top_k)
    future = ContextAttention(run.prefix)
    settings: list[Setting] = []
    parts: list[Damage] = []
    full: Tensor | None = None
    for number, begin in enumerate(begins):
        rows = slice(begin, min(begin + size, len(keep)))
        whole = part(report, READ_SHARE, 1, of=1 - READ_SHARE)
        progress = _named(
            part(whole, number, len(begins)), f"settings {begin + 1} to {rows.stop} of {len(keep)}"
        )
        special = run.specials(planned[rows], keep[rows], len(ids) - 1)
        states = _continue(run, ids, keep[rows], special, future if begin == 0 else None, progress)
        if full is None:
            full = states[0].clone()
            run = replace(run, checks=(*run.checks, *check_continuation(run.model, run.prefix, ids, full)))
        parts.append(_damage(run, full, states, ids, top_k, progress))
        settings += [
            setting_of(one, mask, special.get(row))
            for row, (one, mask) in enumerate(zip(planned[rows], keep[rows], strict=True))
        ]
        sweep = assemble(
            run,
            texts,
            settings,
            before,
            join(parts, 0),
            keep[: len(settings)].numpy(),
            future.received(len(ids) - 1),
            continuation_seconds=time.perf_counter() - started,
        )
        if on_partial is not None:
            on_partial(sweep)
    report(1.0, "done")
    return sweep


def _named(report: Progress, what: str) -> Callable[[float], None]:
    """Progress of a piece of work that has one name."""
    return lambda share: report(share, what)


def _continue(
    run: ContextRun,
    ids: Tensor,
    keep: Tensor,
    special: dict[int, Special],
    observe: ContextAttention | None,
    progress: Callable[[float], None],
) -> Tensor:
    """Final states (S, m - 1, D) of all tokens but the last under a batch of settings."""
    depth = run.model.info.n_layers
    return run_continuation(
        run.model,
        run.prefix,
        ids[:-1],
        keep,
        special=special,
        observe=observe,
        watched=1,
        on_layer=lambda layer: progress(_BODY_SHARE * layer / depth),
    )


def _damage(
    run: ContextRun, full: Tensor, states: Tensor, ids: Tensor, top_k: int, progress: Callable[[float], None]
) -> Damage:
    """What a batch of settings does to tokens 1, 2, ... of the continuation."""
    of, done = states.shape[0] * states.shape[1], 0

    def on_rows(rows: int) -> None:
        nonlocal done
        done += rows
        progress(_BODY_SHARE + (1 - _BODY_SHARE) * done / of)

    return compare(run.model.anatomy.head, full, states, ids[1:], top_k, on_rows)
