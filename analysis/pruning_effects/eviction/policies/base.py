"""What an eviction method is: a score per layer, KV head and token, and budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from analysis.pruning_effects.eviction.budgets import kept_count
from analysis.pruning_effects.eviction.policies.controls import Control
from analysis.ties import keep_top

if TYPE_CHECKING:
    from analysis.kv_cache.eviction_attention import Special
    from analysis.kv_cache.layer_view import LayerView
    from analysis.kv_cache.prefill import Prefix
    from analysis.models.anatomy import Head
    from analysis.models.loading import LanguageModel
    from analysis.models.tokenization import TokenizedText

EVERY_QUERY = "all"
"""Name of the weighting in which every query counts 1; methods that use it share one column sum."""


@dataclass(frozen=True)
class Policy:
    """A method that decides once, after the prefill, which tokens every KV head keeps.

    Frozen and hashable: its fields are its constants. A subclass gives ``name``, ``label``,
    ``source`` and :meth:`score`; all else has a default.
    """

    name: ClassVar[str]
    """Short word, for calls, tables and links."""
    label: ClassVar[str]
    """As a person reads it."""
    source: ClassVar[str]
    """Where the method is published, and in what this one differs."""
    is_random: ClassVar[bool] = False
    """Whether every seed gives another choice."""
    deletes: ClassVar[bool] = True
    """Whether what is not kept is gone. Selection and layer bypass keep everything and save work only."""

    stepwise: ClassVar[bool] = False
    """Whether it can also evict step by step, see :meth:`step`."""

    controls: ClassVar[tuple[Control, ...]] = ()
    """The constants that a person may set."""

    def with_constants(self, chosen: Mapping[str, object]) -> Policy:
        """The method with what was chosen for its constants, by the keys of their controls."""
        return replace(
            self,
            **{
                one.field: one.value(getattr(self, one.field), chosen[one.key])
                for one in self.controls
                if one.key in chosen
            },
        )

    def unsupported(self, model: LanguageModel) -> str:
        """Why a model cannot run this method; empty if it can."""
        return ""

    def for_context(self, text: str, tokens: TokenizedText) -> Policy:
        """The method with what it takes from the text of a context; itself where that is nothing."""
        return self

    def drawn(self, number: int) -> Policy:
        """The method with its draw of that number; itself where nothing is drawn."""
        return self

    def weightings(self, n: int) -> dict[str, np.ndarray]:
        """Weights of the n queries in the column sums that :meth:`score` reads, by name."""
        return {}

    def protected(self, n: int) -> int:
        """How many tokens are always kept."""
        return 0

    def refuses(self, n: int, kept: float, n_layers: int) -> str:
        """Why a share of n tokens is too small for this method; empty if it is not."""
        smallest, least = int(self.budgets(n, kept, n_layers).min()), self.protected(n)
        if smallest >= least:
            return ""
        return f"It always keeps {least} tokens, more than the {smallest} that this share leaves."

    def score(self, view: LayerView) -> Tensor:
        """Score of every token of one layer, float32, higher is kept.

        Parameters
        ----------
        view : LayerView
            The layer's queries, keys and values, and the column sums of its attention by the names of
            :meth:`weightings`.

        Returns
        -------
        Tensor, shape (G, n), or (1, n) where all KV heads keep the same
            A method that chooses in two steps gives two scores, (2, G, n).
        """
        raise NotImplementedError

    def score_context(self, prefix: Prefix, head: Head, on_rows: Callable[[int], None]) -> Tensor | None:
        """Score (n,) of every token for all layers, where that needs the model's predictions.

        Parameters
        ----------
        prefix : Prefix
            The whole context, after the prefill.
        head : Head
            Vocabulary head.
        on_rows : callable
            Called with the number of tokens of each finished block.

        Returns
        -------
        Tensor or None
            None where :meth:`score` has said all.
        """
        return None

    def step(self, scores: Tensor, weights: Tensor, t: int, n_new: int) -> Tensor:
        """Scores after one more token has been read; for methods that evict step by step.

        Parameters
        ----------
        scores : Tensor, shape (L, G, T)
            Before; those of evicted tokens do not matter.
        weights : Tensor, shape (L, H, T + 1)
            Attention of the newest token, itself included; 0 on evicted ones.
        t : int
            Number of the token after the context, from 0.
        n_new : int
            How many there will be.

        Returns
        -------
        Tensor, shape (L, G, T + 1)
        """
        raise NotImplementedError

    def special(self, prefix: Prefix, keep: Tensor, kept: float, n_new: int) -> Special | None:
        """What a setting does to ``n_new`` tokens after the context beyond hiding tokens, if anything."""
        return None

    def budgets(self, n: int, kept: float, n_layers: int) -> np.ndarray:
        """Tokens that each KV head of each layer keeps, int64, (L,)."""
        return np.full(n_layers, kept_count(n, kept), np.int64)

    def remark(self, n: int, kept: float, n_layers: int) -> str:
        """What a person should know of this method at this share; empty if nothing."""
        return ""

    def keep(self, scores: Tensor, budgets: np.ndarray) -> Tensor:
        """Tokens kept, bool, (L, G, n), from scores (L, G, n): the highest of each KV head.

        Of equal scores the earlier token stays, see :func:`analysis.ties.keep_top`.
        """
        kept = torch.zeros(scores.shape, dtype=torch.bool)
        for budget in np.unique(budgets):
            layers = torch.from_numpy(np.flatnonzero(budgets == budget))
            kept[layers] = keep_top(scores[layers], int(budget))
        return kept


def newest_first(n: int) -> Tensor:
    """Scores (1, n) that rise along the text."""
    return torch.arange(n, dtype=torch.float32)[None]


def with_newest(scores: Tensor, newest: float | Tensor) -> Tensor:
    """Scores (L, G, T) with that of one more token, (L, G, T + 1)."""
    return torch.cat([scores, torch.zeros_like(scores[..., :1]) + newest], -1)


def by_kv_head(weights: Tensor, n_groups: int) -> Tensor:
    """Mean over the group in every layer: (L, H, T) to (L, G, T)."""
    return weights.unflatten(1, (n_groups, -1)).mean(2)


def per_kv_head(values: Tensor, n_groups: int) -> Tensor:
    """Mean over the query heads of every KV head: (H, ...) to (G, ...), head h to ``h // (H / G)``."""
    return values.unflatten(0, (n_groups, -1)).mean(1)
