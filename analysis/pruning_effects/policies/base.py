"""What an eviction method is: a score per layer, KV head and token, and budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from analysis.pruning_effects.budgets import kept_count

if TYPE_CHECKING:
    from analysis.forward.prefix import LayerReading
    from analysis.models.loading import LanguageModel


@dataclass(frozen=True)
class Policy:
    """A method that decides once, after the prefill, which tokens every KV head keeps.

    Frozen and hashable: its fields are its constants. A subclass gives ``name``, ``label``,
    ``source`` and :meth:`score`.
    """

    name: ClassVar[str]
    """Short word, for calls, tables and links."""
    label: ClassVar[str]
    """As a person reads it."""
    source: ClassVar[str]
    """Where the method is published, and in what this one differs."""
    is_random: ClassVar[bool] = False
    """Whether every seed gives another choice."""

    def unsupported(self, model: LanguageModel) -> str:
        """Why a model cannot run this method; empty if it can."""
        return ""

    def weightings(self, n: int) -> dict[str, np.ndarray]:
        """Weights of the n queries in the column sums that :meth:`score` reads, by name."""
        return {}

    def protected(self, n: int) -> int:
        """How many tokens are always kept."""
        return 0

    def score(self, reading: LayerReading, sums: dict[str, Tensor], seed: int) -> Tensor:
        """Score of every token of one layer, float32, higher is kept.

        Parameters
        ----------
        reading : LayerReading
            The layer's queries, keys and values.
        sums : dict of str to Tensor, each (H, n)
            Column sums of the attention by the names of :meth:`weightings`.
        seed : int
            For a random method.

        Returns
        -------
        Tensor, shape (G, n), or (1, n) where all KV heads keep the same
        """
        raise NotImplementedError

    def budgets(self, n: int, kept: float, n_layers: int) -> np.ndarray:
        """Tokens that each KV head of each layer keeps, int64, (L,)."""
        return np.full(n_layers, kept_count(n, kept), np.int64)

    def keep(self, scores: Tensor, budgets: np.ndarray) -> Tensor:
        """Tokens kept, bool, (L, G, n), from scores (L, G, n): the highest of each KV head."""
        kept = torch.zeros(scores.shape, dtype=torch.bool)
        for layer, budget in enumerate(budgets):
            best = scores[layer].topk(int(budget), dim=-1).indices
            kept[layer].scatter_(-1, best, True)
        return kept


def per_kv_head(values: Tensor, n_groups: int) -> Tensor:
    """Mean over the query heads of every KV head: (H, ...) to (G, ...), head h to ``h // (H / G)``."""
    return values.unflatten(0, (n_groups, -1)).mean(1)
