"""One setting of a sweep: before it is run, and as the result names it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from analysis.kv_cache.eviction_attention import Special
from analysis.pruning_effects.eviction.policies import Policy
from analysis.pruning_effects.eviction.results import Setting


@dataclass(frozen=True)
class Planned:
    """One setting that will be run."""

    method: Policy
    kept: float
    seed: int = 0


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
