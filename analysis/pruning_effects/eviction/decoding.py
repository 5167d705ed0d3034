"""Step-by-step eviction: every new token joins the cache, and after each step something leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.kv_cache.evicted_stream import EvictedStream
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import Bos
from analysis.progress import Progress, silent
from analysis.pruning_effects.eviction.assembly import assemble, before_eviction, retained_mass
from analysis.pruning_effects.eviction.context_run import READ_SHARE, ContextRun, read_context, setting_of
from analysis.pruning_effects.eviction.damage import Damage, compare, join
from analysis.pruning_effects.eviction.planned import Planned, plan_settings
from analysis.pruning_effects.eviction.policies import POLICIES, Policy, policy
from analysis.pruning_effects.eviction.policies.base import per_kv_head
from analysis.pruning_effects.eviction.results import Sweep
from analysis.pruning_effects.eviction.texts import SweepTexts, encode_texts

STEPWISE = tuple(name for name, kind in POLICIES.items() if kind.stepwise)
"""Methods that can evict step by step."""
_SHOW_SECONDS = 2.0
"""Time between two partial sweeps."""


def sweep_decoding(
    model: LanguageModel,
    context: str,
    continuation: str,
    policies: Sequence[str | Policy] = ("streaming", "random", "h2o", "a2sf", "tova"),
    kept: Sequence[float] = (0.7, 0.5, 0.3),
    *,
    answer: str = "",
    seeds: int = 5,
    top_k: int = 10,
    bos: Bos = "auto",
    parse_special: bool = True,
    on_progress: Progress | None = None,
    on_partial: Callable[[Sweep], None] | None = None,
) -> Sweep:
    """Read a continuation token by token under caches that never grow.

    Parameters
    ----------
    model, context, continuation, answer, seeds, top_k, bos, parse_special, on_progress
        As for :func:`analysis.sweep_eviction`.
    policies : sequence of str or Policy
        Methods of :data:`STEPWISE`; others are noted in ``skipped``.
    kept : sequence of float
        Size of the cache as a share of the context.
    on_partial : callable, optional
        Called now and then with the sweep over the tokens read so far.

    Returns
    -------
    Sweep
        With ``spec.mode`` "decode". Setting 0 is the full cache, which grows. ``kept`` says which context tokens
        are left after the last step; ``mass`` counts what was there at each step.

    Raises
    ------
    AnalysisError
        As the sweep does, and if no method can evict step by step.

    Notes
    -----
    After the prefill the context is pruned to the budget as once-only eviction does it. Then each token sees the
    cache and itself; it joins, and the entry that the method likes least leaves, the newest one included.
    """
    report = on_progress or silent
    methods = [policy(name) for name in policies]
    once_only = {
        method.label: "It decides once, after the context: it has no step-by-step form."
        for method in methods
        if not method.stepwise and method.name != "full"
    }
    with model.held("while decoding"):
        texts = encode_texts(model, context, continuation, answer, bos=bos, parse_special=parse_special)
        stepwise = [method for method in methods if method.stepwise]
        plan = plan_settings(model, texts.context, stepwise, kept, seeds=seeds)
        if len(plan.settings) < 2:
            raise AnalysisError(
                "None of these methods can evict step by step here.",
                f"Choose from {', '.join(STEPWISE)}, and a larger share.",
            )
        plan = replace(plan, skipped=once_only | plan.skipped)
        run = read_context(model, texts.context.ids, plan, texts.continuation.ids, report=report)
        return _Decoding(run, texts, top_k, report, on_partial).result()


class _Decoding:
    """The steps of one sweep; what they add up changes from token to token."""

    def __init__(
        self,
        run: ContextRun,
        texts: SweepTexts,
        top_k: int,
        report: Progress,
        on_partial: Callable[[Sweep], None] | None,
    ) -> None:
        self.run, self.texts, self.top_k = run, texts, top_k
        self.report, self.on_partial = report, on_partial
        self.planned, self.ids = run.plan.settings, texts.continuation.ids
        self.keep = torch.stack([run.kept_by(one) for one in self.planned])
        self.budgets = [one.method.budgets(run.n_context, one.kept, run.n_layers) for one in self.planned]
        self.scores = [run.scores[one.method] for one in self.planned]
        self.retained = torch.zeros(*self.keep.shape[:3], dtype=torch.float64)
        self.future = torch.zeros(self.keep.shape[1:], dtype=torch.float64)
        self.before = before_eviction(run, texts, top_k)
        self.damage: list[Damage] = []
        """What every setting did to tokens 1, 2, ... of the continuation."""
        self.begun = self.shown = time.perf_counter()

    def result(self) -> Sweep:
        """All steps."""
        stream = EvictedStream(self.run.model, self.run.prefix, self.keep, evict=self.after_step)
        for token in self.ids[:-1]:
            stream.read(token.expand(len(self.keep), 1))
        sweep = self.so_far(stream.alive)
        self.report(1.0, "done")
        return sweep

    def so_far(self, alive: Tensor) -> Sweep:
        """The sweep over the tokens that have been read."""
        return assemble(
            self.run,
            self.texts,
            [setting_of(one, mask, None) for one, mask in zip(self.planned, self.keep, strict=True)],
            self.before,
            join(self.damage, 1),
            alive[..., : self.run.n_context].numpy(),
            (self.future / len(self.damage)).numpy(),
            continuation_seconds=time.perf_counter() - self.begun,
            mode="decode",
            mass=retained_mass(self.retained.numpy(), self.future.sum(-1).numpy()),
        )

    def after_step(self, t: int, states: Tensor, weights: Tensor, alive: Tensor) -> Tensor:
        """Let every setting count the newest token's attention and evict down to its budget."""
        n, steps = self.run.n_context, len(self.ids) - 1
        self.report(READ_SHARE + (1 - READ_SHARE) * t / steps, f"token {t + 1} of {steps}")
        head, target = self.run.model.anatomy.head, self.ids[t + 1 : t + 2]
        self.damage.append(compare(head, states[0], states, target, self.top_k))
        self._note_full(weights[0, ..., :n], alive[..., :n])
        for s, planned in enumerate(self.planned):
            if planned.method.name != "full":
                alive[s] = self._evict(s, planned, t, weights[s], alive[s])
        if self.on_partial is not None and time.perf_counter() - self.shown > _SHOW_SECONDS:
            self.on_partial(self.so_far(alive))
            self.shown = time.perf_counter()
        return alive

    def _evict(self, s: int, planned: Planned, t: int, weights: Tensor, alive: Tensor) -> Tensor:
        """What one setting keeps of what is alive, (L, G, n + t + 1)."""
        steps = len(self.ids) - 1
        self.scores[s] = planned.method.step(self.scores[s], weights, t, steps)
        return planned.method.keep(self.scores[s].masked_fill(~alive, -torch.inf), self.budgets[s])

    def _note_full(self, weights: Tensor, alive: Tensor) -> None:
        """Attention of the full cache on the context (L, H, n), and how much of it every setting still had."""
        n_groups = alive.shape[2]
        paid = torch.stack([per_kv_head(layer, n_groups) for layer in weights]).double()
        self.future += paid
        for s, mask in enumerate(alive):
            self.retained[s] += (paid * mask).sum(-1)
