"""Step-by-step eviction: every new token joins the cache, and after each step something leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.kv_cache.decoding import run_steps
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import Bos
from analysis.progress import Progress, silent
from analysis.pruning_effects.eviction.assembly import assemble, retained_mass
from analysis.pruning_effects.eviction.damage import Damage, compare, join
from analysis.pruning_effects.eviction.planned import Planned, setting_of
from analysis.pruning_effects.eviction.policies import POLICIES, Policy, policy
from analysis.pruning_effects.eviction.policies.base import per_kv_head
from analysis.pruning_effects.eviction.results import Sweep
from analysis.pruning_effects.eviction.sweep import SweepWork

STEPWISE = tuple(name for name, kind in POLICIES.items() if kind.stepwise)
"""Methods that can evict step by step."""
_STEPS_FROM = 0.35
"""Progress when the steps begin."""
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
    work = SweepWork(model, report, on_partial, top_k, seeds, bos, parse_special)
    with model.lock, torch.inference_mode():
        work.encode(context, continuation, answer)
        methods = [policy(name) for name in policies]
        for method in methods:
            if not method.stepwise and method.name != "full":
                work.skipped[method.label] = (
                    "It decides once, after the context: it has no step-by-step form."
                )
        work.plan([method for method in methods if method.stepwise], kept)
        if len(work.planned) < 2:
            raise AnalysisError(
                "None of these methods can evict step by step here.",
                f"Choose from {', '.join(STEPWISE)}, and a larger share.",
            )
        work.prefill()
        return _Decoding(work).run()


class _Decoding:
    """The steps of one sweep."""

    def __init__(self, work: SweepWork) -> None:
        self.work = work
        self.keep = torch.stack([work.kept_by(planned) for planned in work.planned])
        self.budgets = [p.method.budgets(work.n_context, p.kept, work.n_layers) for p in work.planned]
        self.scores = [work.scores[p.method, p.seed] for p in work.planned]
        self.retained = torch.zeros(*self.keep.shape[:3], dtype=torch.float64)
        self.future = torch.zeros(self.keep.shape[1:], dtype=torch.float64)
        self.damage: list[Damage] = []
        """What every setting did to tokens 1, 2, ... of the continuation."""

    def run(self) -> Sweep:
        """All steps."""
        work = self.work
        self.begun = self.shown = time.perf_counter()
        alive = run_steps(work.model, work.prefix, work.ids[:-1], self.keep, self.after_step)
        sweep = self.so_far(alive)
        work.report(1.0, "done")
        return sweep

    def so_far(self, alive: Tensor) -> Sweep:
        """The sweep over the tokens that have been read."""
        work, n_read = self.work, len(self.damage)
        work.seconds["continuation"] = time.perf_counter() - self.begun
        return assemble(
            work,
            [setting_of(p, mask, None) for p, mask in zip(work.planned, self.keep, strict=True)],
            join(self.damage, 1),
            alive[..., : work.n_context].numpy(),
            (self.future / n_read).numpy(),
            mode="decode",
            mass=retained_mass(self.retained.numpy(), self.future.sum(-1).numpy()),
        )

    def after_step(self, t: int, states: Tensor, weights: Tensor, alive: Tensor) -> Tensor:
        """Let every setting count the newest token's attention and evict down to its budget."""
        work, n, steps = self.work, self.work.n_context, len(self.work.ids) - 1
        work.report(_STEPS_FROM + (1 - _STEPS_FROM) * t / steps, f"token {t + 1} of {steps}")
        head, target = work.model.anatomy.head, work.ids[t + 1 : t + 2]
        self.damage.append(compare(head, states[0], states, target, work.top_k))
        self._note_full(weights[0, ..., :n], alive[..., :n])
        for s, planned in enumerate(work.planned):
            if planned.method.name != "full":
                alive[s] = self._evict(s, planned, t, weights[s], alive[s])
        if work.on_partial is not None and time.perf_counter() - self.shown > _SHOW_SECONDS:
            work.on_partial(self.so_far(alive))
            self.shown = time.perf_counter()
        return alive

    def _evict(self, s: int, planned: Planned, t: int, weights: Tensor, alive: Tensor) -> Tensor:
        """What one setting keeps of what is alive, (L, G, n + t + 1)."""
        steps = len(self.work.ids) - 1
        self.scores[s] = planned.method.step(self.scores[s], weights, t, steps, planned.seed)
        return planned.method.keep(self.scores[s].masked_fill(~alive, -torch.inf), self.budgets[s])

    def _note_full(self, weights: Tensor, alive: Tensor) -> None:
        """Attention of the full cache on the context (L, H, n), and how much of it every setting still had."""
        n_groups = alive.shape[2]
        paid = torch.stack([per_kv_head(layer, n_groups) for layer in weights]).double()
        self.future += paid
        for s, mask in enumerate(alive):
            self.retained[s] += (paid * mask).sum(-1)
