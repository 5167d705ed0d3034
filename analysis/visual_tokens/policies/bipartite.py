"""Bipartite merging: every second token may go into the most similar of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.visual_tokens.policies.base import Stage, VisualPolicy, cosines, highest

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class Bipartite(VisualPolicy):
    """Rounds of merging by keys, at most half of the tokens a round."""

    name = "bipartite"
    label = "bipartite merging (ToMe)"
    source = "Bolya et al. 2022 (arXiv 2210.09461). Non-commercial licence: from the formula."
    formula = (
        "Tokens by turns in A and B; each of A has an edge to its most similar of B by the mean of the keys over heads; "
        "the r strongest edges merge, mean weighted by size."
    )
    deviations = (
        "Published inside the tower, some tokens in every layer; here on the tower's result in as few rounds as the number "
        "needs, keys of merged tokens their weighted mean, so that attention knows no sizes."
    )
    needs = ("tower_keys",)
    merges = True

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """One stage before the language model, each group at the place of the token that took the others in."""
        keys = view.part("tower_keys").float()
        groups = Groups.single(len(view))
        while len(groups.place) > kept:
            now = groups.mean(keys)
            groups = self.round(groups, now, min(len(now) - kept, len(now) // 2))
        return (groups.stage(),)

    def round(self, groups: Groups, keys: Tensor, r: int) -> Groups:
        """Merge r groups, at most half of them, into others."""
        number = torch.arange(len(keys))
        return merged(groups, keys, number[::2], number[1::2], r)


@dataclass(frozen=True, eq=False)
class Groups:
    """Tokens that were merged: which lie in each group, and where it stands.

    Parameters
    ----------
    member : torch.Tensor
        (n, N), 0 or 1: each token in exactly one group.
    place : torch.Tensor
        (n,) of int64, rising.
    """

    member: Tensor
    place: Tensor

    @classmethod
    def single(cls, n: int) -> Groups:
        """Every token by itself."""
        return cls(torch.eye(n), torch.arange(n))

    def mean(self, values: Tensor) -> Tensor:
        """Mean over each group, (n, d), from (N, d): what weighting by size leaves."""
        return self.weights @ values

    @property
    def weights(self) -> Tensor:
        """Weights (n, N) of the means."""
        return self.member / self.member.sum(1, keepdim=True)

    def stage(self) -> Stage:
        """What enters the language model."""
        return Stage(0, self.place, self.weights)


def merged(groups: Groups, keys: Tensor, a: Tensor, b: Tensor, r: int) -> Groups:
    """Merge the r groups of A with the strongest edges into their most similar ones of B.

    Parameters
    ----------
    groups : Groups
    keys : torch.Tensor
        (n, d), by which groups are similar.
    a, b : torch.Tensor
        Numbers of the groups of both sides; others stay as they are.
    r : int
        At most the number in ``a``.
    """
    # 2 is added so that what counts as equal does not shrink with the cosine
    similar = 2 + cosines(keys[a], keys[b])
    nearest = torch.tensor([int(highest(row, 1)[0]) for row in similar])
    edge = similar[torch.arange(len(a)), nearest]
    goes = highest(edge, r)
    member = groups.member.clone()
    member.index_add_(0, b[nearest[goes]], groups.member[a[goes]])
    left = torch.ones(len(keys), dtype=torch.bool)
    left[a[goes]] = False
    return Groups(member[left], groups.place[left])
