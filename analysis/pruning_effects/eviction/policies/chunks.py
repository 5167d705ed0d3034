"""Entropy-gated chunks: whole stretches of text, but only the peaks of spiky ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.snapkv import SnapKV
from analysis.ties import keep_top


@dataclass(frozen=True)
class Chunks(SnapKV):
    """Chunks of 10 by SnapKV's score; an important chunk with one peak keeps its 4 best tokens only."""

    length: int = 10
    """Tokens of a chunk."""
    peak: int = 4
    """Tokens that stay of an important but spiky chunk."""

    name = "chunks"
    label = "entropy-gated chunks"
    source = (
        f"kvpress 0.5.5's entropy-gated variant of ChunkKV, {cited('chunkkv')}, on SnapKV's score: chunks of 10 ordered by "
        "mean score; those above the median score whose scores have less than the median entropy keep 4 tokens; what is left goes to the "
        "best remaining tokens. One set per layer, from scores summed over KV heads."
    )

    def keep(self, scores: Tensor, budgets: np.ndarray) -> Tensor:
        """Chunks in the order of their scores, until the budget is spent."""
        kept = torch.zeros(scores.shape, dtype=torch.bool)
        for layer, budget in enumerate(budgets):
            kept[layer] = self._keep_one(scores[layer].sum(0), int(budget))
        return kept

    def _keep_one(self, score: Tensor, budget: int) -> Tensor:
        """Tokens kept in one layer, bool, (n,)."""
        parts = score.split(self.length)
        means = torch.stack([part.mean() for part in parts])
        evenness = torch.stack([_evenness(part) for part in parts])
        spiky = (means >= means.median()) & (evenness < evenness.median())
        kept = torch.zeros(len(score), dtype=torch.bool)
        for number in means.argsort(descending=True, stable=True).tolist():
            wanted = min(len(parts[number]), self.peak if spiky[number] else self.length, budget)
            kept[number * self.length :][: len(parts[number])] = keep_top(parts[number], wanted)
            budget -= wanted
        rest = (~kept).nonzero()[:, 0]
        kept[rest] = keep_top(score[rest], min(budget, len(rest)))
        return kept


def _evenness(scores: Tensor) -> Tensor:
    """Entropy of the scores of a chunk over the largest possible: 0 one peak, 1 all alike."""
    if len(scores) == 1:
        return scores.new_zeros(())
    share = scores - scores.min().clamp(max=0)
    share = share / (share.sum() + 1e-8)
    entropy = -(share * (share + 1e-8).log()).sum()
    return (entropy / np.log(len(scores))).clamp(0, 1)
