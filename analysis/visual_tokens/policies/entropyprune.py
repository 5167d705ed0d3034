"""EntropyPrune: tokens whose heads say different things."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from analysis.ties import keep_top
from analysis.visual_tokens.policies.base import VisualPolicy, VisualView

_LEAST = 1e-10


def head_entropy(queries: Tensor, *, released: bool = False) -> Tensor:
    """Entropy of the spectrum of each token's queries over heads.

    Parameters
    ----------
    queries : torch.Tensor
        (n, H, d).
    released : bool, default False
        As in the released code: eigenvalues are not divided by their sum, so that it is no entropy.

    Returns
    -------
    torch.Tensor
        (n,) of float64; 0 (all heads vary along one direction) to 1 (along all), in units of ln H. 0 where
        the heads do not differ at all.
    """
    n_heads = queries.shape[1]
    spread = queries.double() - queries.double().mean(1, keepdim=True)
    values = torch.linalg.eigvalsh(spread @ spread.mT / n_heads).clamp_min(0)
    if not released:
        values = values / values.sum(-1, keepdim=True).clamp_min(torch.finfo(values.dtype).tiny)
    values = values.clamp_min(_LEAST)
    return -(values * values.log()).sum(-1) / math.log(n_heads)


@dataclass(frozen=True)
class EntropyPrune(VisualPolicy):
    """Tokens with the highest entropy of their queries over heads stay.

    Parameters
    ----------
    released : bool
        Score of the released code instead of the paper's.
    """

    released: bool = False

    name: ClassVar[str] = "entropyprune"
    label: ClassVar[str] = "EntropyPrune"
    source: ClassVar[str] = (
        "EntropyPrune: matrix entropy guided pruning of visual tokens. Queries of the layer before, mean over heads taken"
        " off, dual Gram matrix, float64. The paper's score divides eigenvalues by their sum; the released code leaves that"
        " out and then mostly keeps tokens whose queries vary least."
    )
    needs: ClassVar[tuple[str, ...]] = ("features", "queries")

    def choose(self, view: VisualView, budget: int, seed: int) -> Tensor:
        """Keep the highest."""
        assert view.queries is not None
        return keep_top(head_entropy(view.queries, released=self.released).float(), budget)
