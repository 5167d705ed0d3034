"""TransPrune: tokens that the layers change most, and that the question attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from analysis.ties import keep_top
from analysis.visual_tokens.policies.base import VisualPolicy, VisualView


@dataclass(frozen=True)
class TransPrune(VisualPolicy):
    """Transitions and attention of the question, each divided by its sum over the visual tokens, added.

    Parameters
    ----------
    with_attention : bool
        Whether the question's attention counts beside the transitions.
    """

    with_attention: bool = True

    name: ClassVar[str] = "transprune"
    label: ClassVar[str] = "TransPrune"
    source: ClassVar[str] = (
        "Li et al. 2025, TransPrune: token transition pruning for efficient large vision-language models (arXiv 2507.20630)."
        " One layer is pruned, to a given number; published are three layers with falling shares."
    )
    needs: ClassVar[tuple[str, ...]] = ("features", "transitions", "attention")

    def choose(self, view: VisualView, budget: int, seed: int) -> Tensor:
        """Keep the highest sums."""
        assert view.transitions is not None and view.attention is not None
        score = _shares(view.transitions)
        if self.with_attention:
            score = score + _shares(view.attention.mean(0))
        return keep_top(score.float(), budget)


def _shares(values: Tensor) -> Tensor:
    total = values.double().sum()
    return values.double() / total if total else values.double()
