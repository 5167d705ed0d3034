"""Step-by-step eviction: every new token joins the cache, and after each step something leaves."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from analysis.errors import AnalysisError
from analysis.forward.run import Progress
from analysis.forward.stepping import run_steps
from analysis.models.loading import LanguageModel
from analysis.pruning_effects.assembly import assemble, retained_mass
from analysis.pruning_effects.damage import compare
from analysis.pruning_effects.policies import POLICIES, Policy, policy
from analysis.pruning_effects.policies.base import per_kv_head
from analysis.pruning_effects.results import Sweep
from analysis.pruning_effects.sweep import Planned, SweepWork, setting_of

STEPWISE = tuple(name for name, kind in POLICIES.items() if kind.stepwise)
"""Methods that can evict step by step."""
_STEPS_FROM, _STEPS_TO = 0.35, 0.95
"""Progress when the steps begin and end."""


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
    on_progress: Progress | None = None,
) -> Sweep:
    """Read a continuation token by token under caches that never grow.

    Parameters
    ----------
    model, context, continuation, answer, seeds, top_k, on_progress
        As for :func:`analysis.sweep_eviction`.
    policies : sequence of str or Policy
        Methods of :data:`STEPWISE`; others are noted in ``skipped``.
    kept : sequence of float
        Size of the cache as a share of the context.

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
    work = SweepWork(model, on_progress or (lambda _share, _what: None), None, top_k, seeds)
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
        n_layers = work.model.info.n_layers
        self.budgets = [p.method.budgets(work.n_context, p.kept, n_layers) for p in work.planned]
        self.scores = [work.scores[p.method, p.seed] for p in work.planned]
        self.retained = torch.zeros(*self.keep.shape[:3], dtype=torch.float64)
        self.future = torch.zeros(self.keep.shape[1:], dtype=torch.float64)

    def run(self) -> Sweep:
        """All steps, then the predictions."""
        work, ids = self.work, self.work.ids[:-1]
        begun = time.perf_counter()
        states, alive = run_steps(work.model, work.prefix, ids, self.keep, self.after_step)
        work.seconds["continuation"] = time.perf_counter() - begun

        done = 0

        def on_rows(rows: int) -> None:
            nonlocal done
            done += rows
            share = done / (len(states) * len(ids))
            work.report(_STEPS_TO + (1 - _STEPS_TO) * share, "predictions")

        parts = [compare(work.model.anatomy.head, states[0], states, work.ids[1:], work.top_k, on_rows)]
        settings = [setting_of(p, mask, None) for p, mask in zip(work.planned, self.keep, strict=True)]
        work.report(1.0, "done")
        return assemble(
            work,
            settings,
            parts,
            alive[..., : work.n_context].numpy(),
            (self.future / len(ids)).numpy(),
            mode="decode",
            mass=retained_mass(self.retained.numpy(), self.future.sum(-1).numpy()),
        )

    def after_step(self, t: int, weights: Tensor, alive: Tensor) -> Tensor:
        """Let every setting count the newest token's attention and evict down to its budget."""
        n, steps = self.work.n_context, len(self.work.ids) - 1
        self.work.report(_STEPS_FROM + (_STEPS_TO - _STEPS_FROM) * t / steps, f"token {t + 1} of {steps}")
        self._note_full(weights[0, ..., :n], alive[..., :n])
        for s, planned in enumerate(self.work.planned):
            if planned.method.name != "full":
                alive[s] = self._evict(s, planned, t, weights[s], alive[s])
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
