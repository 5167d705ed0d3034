"""Many evictions of one context's cache: one prefill, one batched continuation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from analysis.errors import InvalidTextError, TooLongError
from analysis.forward.attention_probe import require_attention
from analysis.forward.row_check import RowCheck, tolerance
from analysis.kv_cache.capabilities import cache_facts
from analysis.kv_cache.continuation import ContextAttention, run_continuation
from analysis.kv_cache.prefill import LayerReading, read_prefix
from analysis.kv_cache.step_check import check_continuation
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import Bos, encode
from analysis.progress import Progress, silent
from analysis.pruning_effects.eviction.assembly import assemble
from analysis.pruning_effects.eviction.budgets import kept_count
from analysis.pruning_effects.eviction.damage import Damage, compare, join
from analysis.pruning_effects.eviction.planned import Planned, setting_of
from analysis.pruning_effects.eviction.policies import Policy, policy
from analysis.pruning_effects.eviction.results import Setting, Sweep
from analysis.results.trace import Check

DEFAULT_POLICIES = ("streaming", "random", "knorm", "h2o", "snapkv", "expected")
DEFAULT_KEPT = (0.9, 0.7, 0.5, 0.3, 0.1)
_BATCH_TOKENS = 2048
"""Tokens of one batch of settings; a sweep shows what it has after each."""
_PREFILL_SHARE, _BODY_SHARE = 0.35, 0.8
"""Progress when the prefill is done, and of the rest how much the body takes."""


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
    work = SweepWork(model, on_progress or silent, on_partial, top_k, seeds, bos, parse_special)
    with model.lock, torch.inference_mode():
        work.encode(context, continuation, answer)
        work.plan([policy(name) for name in policies], kept)
        work.prefill()
        return work.run()


@dataclass(eq=False)
class SweepWork:
    """A sweep while it runs: encode, plan, prefill, run."""

    model: LanguageModel
    report: Progress
    on_partial: Callable[[Sweep], None] | None
    top_k: int
    seeds: int
    bos: Bos = "auto"
    parse_special: bool = True
    skipped: dict[str, str] = field(default_factory=dict)
    planned: list[Planned] = field(default_factory=list)
    scores: dict[tuple[Policy, int], Tensor] = field(default_factory=dict)
    """(L, G, n), by method and seed."""
    seconds: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    @property
    def n_layers(self) -> int:
        """Layers whose cache is pruned: those that have attention."""
        return len(require_attention(self.model, self.context_ids).layers)

    def encode(self, context: str, continuation: str, answer: str) -> None:
        """Tokens of the three texts; refuses what cannot be swept."""
        if not context.strip():
            raise InvalidTextError(
                "The context is empty.", "Type or paste the text whose cache is to be pruned."
            )
        if not (continuation + answer).strip():
            raise InvalidTextError(
                "There is nothing after the context.", "Add a continuation, or a question with its answer."
            )
        tokenizer, special = self.model.tokenizer, self.parse_special
        before = encode(tokenizer, context, bos=self.bos, parse_special=special)
        rest = [text for text in (continuation, answer) if text]
        after = [encode(tokenizer, text, bos="never", parse_special=special) for text in rest]
        self.texts, self.context_tokens = (context, continuation + answer), before
        self.context_ids = torch.from_numpy(before.token_id)
        self.ids = torch.from_numpy(np.concatenate([part.token_id for part in after]))
        self.n_context, self.n_answer = len(before), len(after[-1]) if answer else 0
        if self.n_context < 2 or len(self.ids) < 2:
            raise InvalidTextError(
                "Context and continuation need two tokens each: the first one is predicted before anything is evicted.",
                "Type a few more words.",
            )
        limit, total = self.model.info.context_length, self.n_context + len(self.ids)
        if limit is not None and total > limit:
            raise TooLongError(
                f"Context and continuation have {total:,} tokens together and {self.model.info.name} reads at most {limit:,}.",
                "Shorten one of them.",
            )

    def plan(self, methods: list[Policy], kept: Sequence[float]) -> None:
        """List the settings that can be run; the others are noted with their reason."""
        for share in kept:
            kept_count(self.n_context, share)  # refuses what is no share
        cache_facts(self.model)  # refuses a model whose attention cannot be measured
        self.planned = [Planned(policy("full"), 1.0)]
        for asked in methods:
            method = asked.for_context(self.texts[0], self.context_tokens)
            reason = method.unsupported(self.model)
            if reason:
                self.skipped[method.label] = reason
                continue
            for share in kept:
                reason = method.refuses(self.n_context, share, self.n_layers)
                if reason:
                    self.skipped[f"{method.label} at {share:g}"] = reason
                elif method.name != "full":
                    draws = self.seeds if method.is_random else 1
                    self.planned += [Planned(method, share, seed) for seed in range(draws)]

    def prefill(self, *, noisy: bool = False) -> None:
        """Read the context once and let every method score every layer.

        Parameters
        ----------
        noisy : bool
            Whether the caller adds noise to what is read: then two readings of the same tokens differ, and the
            first tokens after the context are not held against the library's.

        Raises
        ------
        UnsupportedModelError
            If rows of the context, or the first tokens after it, differ from the library's own.
        """
        started = time.perf_counter()
        n, n_layers, depth = self.n_context, self.n_layers, self.model.info.n_layers
        draws = list(dict.fromkeys((p.method, p.seed) for p in self.planned))
        named = {name: w for method, _ in draws for name, w in method.weightings(n).items()}
        weights = torch.from_numpy(np.stack(list(named.values()), 1)).float() if named else None
        spent = {"score": 0.0}

        def look(reading: LayerReading) -> None:
            begun = time.perf_counter()
            columns = reading.columns
            sums = {} if columns is None else {name: columns[:, i] for i, name in enumerate(named)}
            for draw in draws:
                score = draw[0].score(reading, sums, draw[1]).float().cpu()
                if draw not in self.scores:
                    self.scores[draw] = torch.zeros(n_layers, *score.shape[:-2], reading.key.shape[0], n)
                self.scores[draw][reading.layer] = score
            spent["score"] += time.perf_counter() - begun

        def on_layer(layer: int) -> None:
            self.report(_PREFILL_SHARE * layer / depth, f"context, layer {layer}/{depth}")

        rows = RowCheck(self.model, self.context_ids)
        self.prefix = read_prefix(
            self.model,
            self.context_ids,
            look,
            layout=cache_facts(self.model).layout,
            weightings=weights,
            on_layer=on_layer,
            check=rows,
        )
        dtype, two_parts = self.model.info.dtype, cache_facts(self.model).step_error
        name = "a short text read in two parts equals one plain pass"
        self.checks = [rows.as_check(), Check(name, two_parts, tolerance(dtype), "of a state")]
        if not noisy:
            self.checks += check_continuation(self.model, self.prefix, self.ids)
        self.seconds["prefill"] = time.perf_counter() - started - spent["score"]
        begun = time.perf_counter()
        for draw in draws:
            whole = draw[0].score_context(
                self.prefix,
                self.model.anatomy.head,
                lambda _n: self.report(_PREFILL_SHARE, "predictions of the context"),
            )
            if whole is not None:
                self.scores[draw][:] = whole.float().cpu()
        self.seconds["score"] = spent["score"] + time.perf_counter() - begun

    def kept_by(self, planned: Planned) -> Tensor:
        """Tokens that one setting keeps, bool, (L, G, n)."""
        budgets = planned.method.budgets(self.n_context, planned.kept, self.n_layers)
        return planned.method.keep(self.scores[planned.method, planned.seed], budgets)

    def run(self) -> Sweep:
        """Run the continuation, a batch of settings at a time; setting 0 is the full cache."""
        started = time.perf_counter()
        model, ids, depth = self.model, self.ids[:-1], self.model.info.n_layers
        keep = torch.stack([self.kept_by(planned) for planned in self.planned])
        size = max(1, _BATCH_TOKENS // len(ids))
        n_batches = -(-len(keep) // size)
        future = ContextAttention(self.prefix)
        settings: list[Setting] = []
        parts: list[Damage] = []
        full: Tensor | None = None
        sweep: Sweep | None = None
        for number, begin in enumerate(range(0, len(keep), size)):
            batch, planned = keep[begin : begin + size], self.planned[begin : begin + size]

            def report(share: float, at: int = number) -> None:
                self.report(
                    _PREFILL_SHARE + (1 - _PREFILL_SHARE) * (at + share) / n_batches,
                    f"settings {at * size + 1} to {min((at + 1) * size, len(keep))} of {len(keep)}",
                )

            special = {
                row: extra
                for row, (one, mask) in enumerate(zip(planned, batch, strict=True))
                if (extra := one.method.special(self.prefix, mask, one.kept, len(ids))) is not None
            }
            states = run_continuation(
                model,
                self.prefix,
                ids,
                batch,
                special=special,
                observe=future if begin == 0 else None,
                watched=1,
                on_layer=lambda layer: report(_BODY_SHARE * layer / depth),
            )
            full = states[0].clone() if full is None else full
            done = 0

            def on_rows(rows: int, of: int = states.shape[0] * states.shape[1]) -> None:
                nonlocal done
                done += rows
                report(_BODY_SHARE + (1 - _BODY_SHARE) * done / of)

            parts.append(compare(model.anatomy.head, full, states, self.ids[1:], self.top_k, on_rows))
            settings += [
                setting_of(one, mask, special.get(row))
                for row, (one, mask) in enumerate(zip(planned, batch, strict=True))
            ]
            self.seconds["continuation"] = time.perf_counter() - started
            sweep = assemble(
                self, settings, join(parts, 0), keep[: len(settings)].numpy(), future.received(len(ids))
            )
            if self.on_partial is not None:
                self.on_partial(sweep)
        assert sweep is not None
        self.report(1.0, "done")
        return sweep
