"""What a sweep will run: methods and shares, and those that cannot be run with their reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.forward.attention_probe import require_attention
from analysis.kv_cache.capabilities import cache_facts
from analysis.models.loading import LanguageModel
from analysis.pruning_effects.eviction.budgets import kept_count
from analysis.pruning_effects.eviction.policies import Policy, policy
from analysis.pruning_effects.eviction.texts import EncodedText


@dataclass(frozen=True)
class Planned:
    """One setting that will be run."""

    method: Policy
    """With its draw, if it is random."""
    kept: float
    seed: int = 0
    """Number of the draw."""


@dataclass(frozen=True)
class Plan:
    """All settings of a sweep."""

    settings: tuple[Planned, ...]
    """The full cache first."""
    skipped: dict[str, str]
    """Methods and shares that cannot be run, with the reason."""


def plan_settings(
    model: LanguageModel,
    context: EncodedText,
    policies: Sequence[str | Policy],
    kept: Sequence[float],
    *,
    seeds: int = 1,
) -> Plan:
    """List the settings that can be run; the others are noted with their reason.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    context : EncodedText
        Whose cache is pruned.
    policies : sequence of str or Policy
        Methods; the full cache comes first without being asked for.
    kept : sequence of float
        Shares of the context kept.
    seeds : int
        How often a random method is drawn.

    Raises
    ------
    AnalysisError
        If a share cannot be kept, there is no such method, or the model's attention cannot be measured.
    """
    n = len(context)
    methods = [policy(name) for name in policies]
    for share in kept:
        kept_count(n, share)  # refuses what is no share
    cache_facts(model)  # refuses a model whose attention cannot be measured
    n_layers = len(require_attention(model, context.ids).layers)
    settings, skipped = [Planned(policy("full"), 1.0)], dict[str, str]()
    for asked in methods:
        method = asked.for_context(context.text, context.tokens)
        reason = method.unsupported(model)
        if reason:
            skipped[method.label] = reason
            continue
        for share in kept:
            reason = method.refuses(n, share, n_layers)
            if reason:
                skipped[f"{method.label} at {share:g}"] = reason
            elif method.name != "full":
                draws = seeds if method.is_random else 1
                settings += [Planned(method.drawn(seed), share, seed) for seed in range(draws)]
    return Plan(tuple(settings), skipped)
