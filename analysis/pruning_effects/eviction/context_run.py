"""A context that was read once: its cache, and what every planned method makes of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from analysis.forward.row_check import RowCheck, tolerance
from analysis.kv_cache.capabilities import cache_facts
from analysis.kv_cache.eviction_attention import Special
from analysis.kv_cache.layer_view import LayerView
from analysis.kv_cache.prefill import Prefix, read_prefix
from analysis.kv_cache.step_check import check_continuation
from analysis.models.loading import LanguageModel
from analysis.models.memory import keep_freed_memory
from analysis.progress import Progress, silent
from analysis.pruning_effects.eviction.planned import Plan, Planned
from analysis.pruning_effects.eviction.policies import Policy
from analysis.pruning_effects.eviction.results import Setting
from analysis.results.trace import Check

READ_SHARE = 0.35
"""Progress of a sweep when its context has been read."""


@dataclass(frozen=True, eq=False)
class ContextRun:
    """A context after its prefill."""

    model: LanguageModel
    plan: Plan
    prefix: Prefix
    scores: dict[Policy, Tensor]
    """(L, G, n) by method, each draw of a random one apart; (L, 2, G, n) where a method chooses in two steps."""
    checks: tuple[Check, ...]
    seconds: dict[str, float]
    """Of the ``prefill``, and of the ``score`` of all methods together."""

    @property
    def n_context(self) -> int:
        """Tokens of the context."""
        return self.prefix.n_tokens

    @property
    def n_layers(self) -> int:
        """Layers whose cache is pruned: those that have attention."""
        return len(self.prefix.keys)

    def kept_by(self, planned: Planned) -> Tensor:
        """Tokens that one setting keeps, bool, (L, G, n)."""
        budgets = planned.method.budgets(self.n_context, planned.kept, self.n_layers)
        return planned.method.keep(self.scores[planned.method], budgets)

    def specials(self, settings: Sequence[Planned], keep: Tensor, n_new: int) -> dict[int, Special]:
        """What settings do to ``n_new`` tokens beyond hiding those not in ``keep`` (S, L, G, n), by their row."""
        found = {
            row: one.method.special(self.prefix, mask, one.kept, n_new)
            for row, (one, mask) in enumerate(zip(settings, keep, strict=True))
        }
        return {row: special for row, special in found.items() if special is not None}


def setting_of(planned: Planned, keep: Tensor, special: Special | None) -> Setting:
    """What the result says about one setting, from what it keeps (L, G, n)."""
    method = planned.method
    computed = 1.0 if special is None or special.active is None else float(special.active.float().mean())
    return Setting(
        method.name,
        method.label,
        planned.kept,
        planned.seed,
        int(keep.sum()),
        deletes=method.deletes,
        computed=computed,
        remark=method.remark(keep.shape[-1], planned.kept, len(keep)),
    )


def read_context(
    model: LanguageModel,
    ids: Tensor,
    plan: Plan,
    after: Tensor | None,
    *,
    report: Progress = silent,
) -> ContextRun:
    """Read a context once and let every planned method score every layer.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    ids : Tensor, int64, shape (n,)
        The context.
    plan : Plan
        Whose methods score: they look at layers while these run, so they must be known before.
    after : Tensor, int64, shape (m,), or None
        What will be read with what is left; its first tokens are held against the library's own cached step. None
        leaves that to the caller, who reads them with the full cache anyway.
    report : callable
        ``report(share, what)``, up to :data:`READ_SHARE`.

    Raises
    ------
    UnsupportedModelError
        If rows of the context, or the first tokens after it, differ from the library's own.
    """
    started, depth = time.perf_counter(), model.info.n_layers
    keep_freed_memory()
    methods = tuple(dict.fromkeys(one.method for one in plan.settings))
    scorer = _Scorer(methods, cache_facts(model).n_layers)
    weightings = {name: w for method in scorer.methods for name, w in method.weightings(len(ids)).items()}
    rows = RowCheck(model, ids)
    prefix = read_prefix(
        model,
        ids,
        scorer.observe,
        layout=cache_facts(model).layout,
        weightings=weightings,
        on_layer=lambda layer: report(READ_SHARE * layer / depth, f"context, layer {layer}/{depth}"),
        check=rows,
    )
    two_parts = Check(
        "a short text read in two parts equals one plain pass",
        cache_facts(model).step_error,
        tolerance(model.info.dtype),
        "of a state",
    )
    checks = [rows.as_check(), two_parts]
    if after is not None:
        checks += check_continuation(model, prefix, after)
    seconds = {"prefill": time.perf_counter() - started - scorer.seconds}
    begun = time.perf_counter()
    for method, found in scorer.scores.items():
        whole = method.score_context(
            prefix, model.anatomy.head, lambda _n: report(READ_SHARE, "predictions of the context")
        )
        if whole is not None:
            found[:] = whole.float().cpu()
    seconds["score"] = scorer.seconds + time.perf_counter() - begun
    return ContextRun(model, plan, prefix, scorer.scores, tuple(checks), seconds)


@dataclass(eq=False)
class _Scorer:
    """Looks at every layer of one prefill."""

    methods: tuple[Policy, ...]
    n_layers: int
    """Layers that have attention."""
    scores: dict[Policy, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    def observe(self, view: LayerView) -> None:
        """Let every method score one layer."""
        begun = time.perf_counter()
        for method in self.methods:
            score = method.score(view).float().cpu()
            if method not in self.scores:
                self.scores[method] = torch.zeros(
                    self.n_layers, *score.shape[:-2], view.n_groups, view.n_tokens
                )
            self.scores[method][view.layer] = score
        self.seconds += time.perf_counter() - begun
