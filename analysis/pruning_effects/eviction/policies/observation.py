"""The observation window of methods that ask the last queries: what they share of it."""

from __future__ import annotations

from analysis.pruning_effects.eviction.policies.controls import Limit

OBSERVATION = Limit(
    key="voters",
    field="window",
    label="Observation window, tokens",
    help="How many last tokens vote in SnapKV and its kin; they are always kept. Published: 64. "
    "auto: at most a tenth of the context, so that short texts can be pruned too.",
    options=(8, 16, 32, 64),
)
