"""PiToMe: tokens with many like them merge, lonely ones are protected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.ties import ranked
from analysis.visual_tokens.policies.base import cosines
from analysis.visual_tokens.policies.bipartite import Bipartite, Groups, merged

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PiToMe(Bipartite):
    """Rounds of merging among the tokens of the highest energy."""

    margin: float = 0.9
    """Cosine from which two tokens count as alike."""

    name = "pitome"
    label = "PiToMe"
    source = "Tran et al. 2024 (arXiv 2405.16148). Non-commercial licence: from the formula."
    formula = (
        "E_i = mean over j of ELU(cos_ij - margin); the 2r tokens with the highest energy, by turns in A and B in that "
        "order; each of A merges into its most similar of B, mean weighted by size."
    )
    deviations = (
        "Published inside the tower, with a margin that falls from .9 over its layers; here on the tower's result with the "
        "first layer's margin, in as few rounds as the number needs."
    )

    def round(self, groups: Groups, keys: Tensor, r: int) -> Groups:
        """Merge r groups of the highest energy."""
        order = ranked(energy(keys, self.margin), 2 * r)[1]
        return merged(groups, keys, order[::2], order[1::2], r)


def energy(keys: Tensor, margin: float) -> Tensor:
    """How many are like each token, (n,), float32, from keys (n, d)."""
    found = torch.nn.functional.elu(cosines(keys) - margin).mean(1).float()
    return (found * 2**20).round() / 2**20  # equal on paper, equal here
