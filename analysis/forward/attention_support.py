"""What is known of how far a model's attention can be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel


@dataclass(frozen=True)
class AttentionSupport:
    """What measuring a model's attention gives."""

    layers: tuple[int, ...] = ()
    """Numbers of the layers that have attention, rising."""
    gates: tuple[tuple[int, str], ...] = ()
    """Layers that weaken what attention gives by a gate of their own, and the dotted name of the output
    projection behind it."""
    by_maps: bool = False
    """Whether it is measured on maps that the model hands over: queries, keys and values are not seen then."""
    error: float = 0.0
    """Largest difference of the final states with and without measuring, as a share of the largest state."""
    reason: str = ""
    """Why attention cannot be measured; empty if it can."""


def known_support(model: LanguageModel) -> AttentionSupport | None:
    """What :func:`analysis.forward.attention_probe.attention_support` has found; None until it was asked."""
    return model.found.get(AttentionSupport)
