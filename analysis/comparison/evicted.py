"""A run whose first part was read whole, and the rest with what an eviction left of its cache."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from analysis.errors import AnalysisError, InvalidTextError
from analysis.forward.vocabulary_head import about_tokens, read_rows
from analysis.kv_cache.continuation import run_continuation
from analysis.models.token_names import token_texts
from analysis.progress import Progress, part, silent
from analysis.pruning_effects.eviction.context_run import ContextRun, read_context
from analysis.pruning_effects.eviction.planned import Plan, plan_settings
from analysis.pruning_effects.eviction.policies import Policy, policy
from analysis.pruning_effects.eviction.texts import EncodedText, first_tokens
from analysis.results.layers import LayerTrace
from analysis.results.token_quantities import stored_quantities
from analysis.results.tokens import NextToken, TokenTrace
from analysis.results.trace import Trace, TraceSpec

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.models.tokenization import TokenizedText

_READ, _GO_ON = 0.5, 0.4
"""Progress of the context and of what follows it; the rest is the vocabulary head's."""


@dataclass(frozen=True)
class Eviction:
    """Which tokens of a text's beginning are still there when the rest is read."""

    policy: str | Policy
    """Method, see :data:`analysis.pruning_effects.eviction.policies.POLICIES`."""
    kept: float
    """Share of the beginning that is kept, above 0 and at most 1."""
    n_context: int | None = None
    """Tokens of the beginning; half of the text by default."""
    seed: int = 0
    """Draw of a random method."""

    def cut(self, n_tokens: int) -> int:
        """Tokens of the beginning of a text of so many.

        Raises
        ------
        InvalidTextError
            If fewer than two tokens would be on one of its sides.
        """
        at = n_tokens // 2 if self.n_context is None else self.n_context
        if not 2 <= at <= n_tokens - 2:
            raise InvalidTextError(
                f"After {at:,} of {n_tokens:,} tokens nothing can be evicted: two are needed before and two after.",
                "Choose another place, or a longer text.",
            )
        return at

    def describe(self, n_tokens: int) -> str:
        """What is evicted, in words: part of a run's spec."""
        method = policy(self.policy)
        drawn = f", draw {self.seed}" if method.is_random else ""
        return f"{method.label} keeps {self.kept:.0%} of the first {self.cut(n_tokens):,} tokens{drawn}"


def evicted_trace(
    model: LanguageModel,
    text: str,
    tokens: TokenizedText,
    eviction: Eviction,
    *,
    top_k: int = 10,
    on_progress: Progress | None = None,
) -> Trace:
    """Read a text's beginning, evict, read the rest.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    text : str
        The text.
    tokens : TokenizedText
        Its tokens.
    eviction : Eviction
        What is evicted after the beginning.
    top_k : int, default 10
        Alternatives kept per token.
    on_progress : callable, optional
        ``on_progress(share, what)``.

    Returns
    -------
    Trace
        Numbers of the tokens that were predicted with what was left; those before, and the first after the beginning,
        which was predicted by the whole of it, have none. No attention and no spectra.

    Raises
    ------
    AnalysisError
        If the method cannot run on this model or text.
    """
    report, n = on_progress or silent, len(tokens)
    started, at = time.perf_counter(), eviction.cut(n)
    model.require_room("Beginning and rest", n)
    ids = torch.from_numpy(tokens.token_id)
    context = EncodedText(text[: max(0, int(tokens.end[:at].max()))], first_tokens(tokens, at))
    plan = _plan(model, context, eviction)
    run = read_context(model, ids[:at], plan, ids[at:], report=part(report, 0, 1, of=_READ))
    states = torch.cat([_whole(run), _after(run, ids[at:], part(report, _READ, 1, of=_GO_ON))])
    read = read_rows(
        model.anatomy.head, states, ids[1:], top_k, lambda _n: report(_READ + _GO_ON, "vocabulary head")
    )
    known = np.arange(n) > at
    rows = {
        q.name: np.where(known, about_tokens(getattr(read, q.name), q.missing), q.missing).astype(q.stored)
        for q in stored_quantities()
    }
    top_ids = np.where(known, about_tokens(read.top_ids.T, -1), -1).T.copy()
    top_logprobs = np.where(known, about_tokens(read.top_logprobs.T, np.nan), np.float32(np.nan)).T.copy()
    shown = {*tokens.token_id.tolist(), *top_ids.ravel().tolist(), *read.top_ids[-1].tolist()} - {-1}
    names = token_texts(model.tokenizer, shown)
    last = {f.name: float(getattr(read, f.name)[-1]) for f in fields(NextToken) if f.type == "float"}
    info = model.info
    report(1.0, "done")
    return Trace(
        spec=TraceSpec(
            model=info.name,
            source=model.spec.source,
            revision=info.revision,
            dtype=info.dtype,
            device=info.device_name,
            text_sha256=hashlib.sha256(text.encode()).hexdigest(),
            n_tokens=n,
            vocab_size=info.vocab_size,
            n_layers=info.n_layers,
            hidden_size=info.hidden_size,
            top_k=read.top_ids.shape[1],
            weights=info.weights,
            adapter=model.spec.adapter or "",
            eviction=eviction.describe(n),
        ),
        text=text,
        tokens=TokenTrace(
            token_id=tokens.token_id,
            text=tuple(names[int(i)] for i in tokens.token_id),
            start=tokens.start,
            end=tokens.end,
            n_bytes=tokens.n_bytes,
            is_special=tokens.is_special,
            cell=tokens.cell,
            cell_text=tokens.cell_text,
            context=np.where(known, np.arange(n), 0).astype(np.int32),
            top_ids=top_ids,
            top_logprobs=top_logprobs,
            names=names,
            **rows,
        ),
        next=NextToken(**last, top_ids=read.top_ids[-1], top_logprobs=read.top_logprobs[-1]),
        layers=LayerTrace(np.full((info.n_layers + 1, n), np.nan, np.float32)),
        checks=run.checks,
        unavailable=dict.fromkeys(
            ("attention", "spectra"), "It is not measured where a part of the cache was evicted."
        ),
        final_states=states.float().cpu().numpy(),
        seconds=run.seconds | {"total": time.perf_counter() - started},
        notes=info.notes,
    )


def _plan(model: LanguageModel, context: EncodedText, eviction: Eviction) -> Plan:
    plan = plan_settings(model, context, [eviction.policy], [eviction.kept], seeds=eviction.seed + 1)
    if plan.skipped:
        (what, why), *_ = plan.skipped.items()
        raise AnalysisError(f"{what} cannot run here: {why}", "Choose another method or share.")
    return Plan((plan.settings[-1],), {})


def _whole(run: ContextRun) -> torch.Tensor:
    assert run.prefix.final_states is not None
    return run.prefix.final_states


def _after(run: ContextRun, ids: torch.Tensor, report: Progress) -> torch.Tensor:
    """Final states (m, D) of all tokens behind the beginning."""
    (planned,) = run.plan.settings
    keep, depth = run.kept_by(planned)[None], run.model.info.n_layers
    return run_continuation(
        run.model,
        run.prefix,
        ids,
        keep,
        special=run.specials([planned], keep, len(ids)),
        on_layer=lambda layer: report(layer / depth, f"the rest, layer {layer}/{depth}"),
    )[0]
