"""MustDrop: tokens that look like their neighbours are merged, then those that nothing attends to go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from analysis.ties import ranked
from analysis.visual_tokens.policies.base import Stage, VisualPolicy, cosines, highest
from analysis.visual_tokens.policies.layers import last_with_all, stage_counts

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.visual_tokens.policies.view import VisualView


@dataclass(frozen=True)
class MustDrop(VisualPolicy):
    """Windows of like tokens merge before the language model; four stages inside drop the least attended."""

    alike: float = 0.8
    """Mean cosine from which a window merges."""
    key_share: float = 0.08
    """Share of tokens, by the class token's attention, that are kept as long as there is room."""
    mean_limit: float = 0.001
    """Share of the attention's sum below which a token may go."""
    single_limit: float = 0.001
    """Largest single weight below which a token may go."""
    published: tuple[int, ...] = (2, 6, 10, 14)

    name = "mustdrop"
    label = "MustDrop"
    source = "Liu et al. 2024 (arXiv 2411.10803)."
    formula = (
        "3 x 3 windows with a mean pairwise cosine of at least .8 become their mean; key set: top 8 % of the class token's "
        "attention; in layers 2, 6, 10, 14 of 32 a token goes if sum A < .001 of the total and max A < .001, "
        "never one of the key set."
    )
    deviations = (
        "Thresholds leave a number by chance; for an exact one both are scaled together, so that the tokens with the least "
        "max(sum / limit, max / limit) go; equal steps from stage to stage. Windows merge, the most alike first, while "
        "enough tokens are left. Attention is that of a pass with all tokens. Cuts at the same depth."
    )
    needs = ("cls_attention", "attention")
    merges = True

    def layers_read(self, n_layers: int) -> tuple[int, ...]:
        """Layers after which tokens go, rising or equal."""
        return last_with_all(self.published, n_layers)

    def stages(self, view: VisualView, kept: int) -> tuple[Stage, ...]:
        """Merging, then four stages."""
        whole = view.part("cls_attention").float().sum(0)
        mix = self.windows(view, kept)
        # a window stands where its most attended token stands; windows do not overlap
        place = torch.where(mix > 0, whole, -float("inf")).argmax(1)
        order = place.argsort()
        mix, place = mix[order], place[order]
        found = [Stage(0, place, mix)]
        key = torch.zeros(len(place))
        key[highest(mix @ whole, min(len(place), round(self.key_share * len(view))))] = float("inf")
        alive = torch.arange(len(place))
        counts = stage_counts(len(place), kept, (0.0, 1.0), [(share, 1.0) for share in (0.75, 0.5, 0.25)])
        for layer, count in zip(self.layers_read(view.n_layers), counts, strict=True):
            rows = view.attention[layer].float().mean(0) @ mix.T
            score = self.attended(rows[:, alive]) + key[alive]
            alive = alive[highest(score, count)]
            found.append(Stage(layer + 1, place[alive], mix[alive]))
        return tuple(found)

    def attended(self, rows: Tensor) -> Tensor:
        """How far above the limits each token is, (n,), from attention (Q, n): below 1 it would go."""
        share = rows.sum(0) / rows.sum()
        return torch.maximum(share / self.mean_limit, rows.amax(0) / self.single_limit)

    def windows(self, view: VisualView, kept: int) -> Tensor:
        """Weights (n, N) after windows have merged."""
        n = len(view)
        similar = cosines(view.features)
        crop = torch.zeros_like(view.row) if view.crop is None else view.crop
        number = torch.unique(
            torch.stack([crop, view.row // 3, view.column // 3], 1), dim=0, return_inverse=True
        )[1]
        members = [(number == i).nonzero()[:, 0] for i in range(int(number.max()) + 1)]
        whole = [m for m in members if len(m) == 9]
        gone = torch.zeros(n, dtype=torch.bool)
        mix = torch.eye(n)
        if whole:
            alike = torch.stack([(similar[m][:, m].sum() - similar[m, m].sum()) / 72 for m in whole])
            for i in ranked(alike, len(whole))[1].tolist():
                m = whole[i]
                if alike[i] < self.alike or n - int(gone.sum()) - 8 < kept:
                    break
                gone[m[1:]] = True
                mix[m[0], m] = 1 / 9
        return mix[~gone]
