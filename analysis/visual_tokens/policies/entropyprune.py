"""EntropyPrune: how many directions a token's queries span over the heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.visual_tokens.policies.base import ScoredPolicy

if TYPE_CHECKING:
    from analysis.visual_tokens.policies.view import VisualView

_SMALLEST = 1e-10
"""Eigenvalues below this count as none, as published."""


@dataclass(frozen=True)
class EntropyPrune(ScoredPolicy):
    """Matrix entropy of a token's queries, normalised; the others are gone from layer K on."""

    k: int = 2
    """The collapse layer."""

    name = "entropyprune"
    label = "EntropyPrune"
    source = (
        "Wang et al. 2026 (arXiv 2602.17196), score with the steps that the released code has commented out."
    )
    formula = (
        "X = queries of layer K - 1, heads x width, less their mean over heads, each row at length 1; G = X X^T / trace; "
        "s = - sum of l ln l over its eigenvalues, divided by ln heads; K = 2."
    )
    deviations = "That the two normalisations are meant is inferred from those lines; the paper's formula was not compared."
    needs = ("queries",)

    def layers_read(self, n_layers: int) -> tuple[int, ...]:
        """The last layer that sees all."""
        return (self.k - 1,)

    def first_layer(self) -> int:
        """K."""
        return self.k

    def gram(self, centred: Tensor) -> Tensor:
        """Matrix whose eigenvalues count, (N, H, H), from (N, H, d)."""
        rows = torch.nn.functional.normalize(centred, dim=2)
        found = rows @ rows.mT
        trace = found.diagonal(dim1=1, dim2=2).sum(1)
        return found / trace.clamp(min=_SMALLEST)[:, None, None]

    def score(self, view: VisualView) -> Tensor:
        """Entropy per token, 0 to ln(H - 1) / ln H, since rows less their mean span H - 1 directions (released: not bounded)."""
        return self.entropy(view.queries[self.k - 1])

    def entropy(self, queries: Tensor) -> Tensor:
        """The score of queries (N, H, d) of any layer, float32, (N,); computed in float64."""
        x = queries.double()
        values = torch.linalg.eigvalsh(self.gram(x - x.mean(1, keepdim=True)))
        found = torch.where(values < _SMALLEST, 0.0, values)
        entropy = -torch.xlogy(found, found).sum(1)
        return (entropy / max(torch.tensor(x.shape[1]).log().item(), _SMALLEST)).float()


@dataclass(frozen=True)
class EntropyPruneReleased(EntropyPrune):
    """The score of the released code: nothing is normalised, so that it is no entropy."""

    name = "entropyprune_released"
    label = "EntropyPrune as released"
    source = "Wang et al. 2026 (arXiv 2602.17196), score as in the released code."
    formula = (
        "X without its rows at length 1; G = X X^T / heads; s = - sum of l ln l over its eigenvalues, "
        "divided by ln heads. In effect it keeps the tokens whose queries differ least between heads."
    )
    deviations = ""

    def gram(self, centred: Tensor) -> Tensor:
        """Without either normalisation."""
        return centred @ centred.mT / centred.shape[1]
