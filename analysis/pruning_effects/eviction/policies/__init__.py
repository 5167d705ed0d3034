"""One eviction method per file; :data:`POLICIES` lists them by name."""

from __future__ import annotations

from analysis.pruning_effects.eviction.policies.base import Policy
from analysis.pruning_effects.eviction.policies.registry import POLICIES, controls_of, policy

__all__ = ["POLICIES", "Policy", "controls_of", "policy"]
