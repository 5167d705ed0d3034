"""One method of visual token pruning per file; :data:`POLICIES` lists them by name."""

from __future__ import annotations

from analysis.visual_tokens.policies.base import Choice, Stage, VisualPolicy
from analysis.visual_tokens.policies.registry import POLICIES, policy
from analysis.visual_tokens.policies.view import VisualView

__all__ = ["POLICIES", "Choice", "Stage", "VisualPolicy", "VisualView", "policy"]
