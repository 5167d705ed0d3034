"""DART: tokens that repeat a few pivots go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from analysis.ties import ranked
from analysis.visual_tokens.policies.base import VisualPolicy, VisualView, marked


@dataclass(frozen=True)
class Dart(VisualPolicy):
    """Pivots are the tokens with the largest keys; for each in turn the tokens least like it stay.

    Parameters
    ----------
    n_image, n_text : int
        Pivots among visual tokens, which stay, and among the text's.
    """

    n_image: int = 4
    n_text: int = 4

    name: ClassVar[str] = "dart"
    label: ClassVar[str] = "DART"
    source: ClassVar[str] = (
        "Wen et al. 2025, Stop looking for important tokens: duplication matters more (arXiv 2502.11494): L1 norm of keys,"
        " cosine of states. Pivots go by falling norm (the released code's order is that of a set), and exactly the budget"
        " is kept (released: four more); what does not divide goes to the first pivots."
    )
    needs: ClassVar[tuple[str, ...]] = ("features", "states", "keys", "text_states", "text_keys")

    def choose(self, view: VisualView, budget: int, seed: int) -> Tensor:
        """Choose for one pivot after the other."""
        assert view.states is not None and view.keys is not None
        assert view.text_states is not None and view.text_keys is not None
        own = ranked(view.keys.abs().sum(-1), min(self.n_image, budget))[1]
        text = ranked(view.text_keys.abs().sum(-1), min(self.n_text, len(view.text_keys)))[1]
        pivots = torch.cat([view.states[own], view.text_states[text]])
        close = normalize(pivots.double(), dim=-1) @ normalize(view.states.double(), dim=-1).T
        kept = marked(own, view.n)
        left = budget - len(own)
        for i, row in enumerate(close):
            share = left // len(close) + (i < left % len(close))
            if share:
                kept |= marked(ranked(-row.masked_fill(kept, torch.inf), share)[1], view.n)
        return kept
