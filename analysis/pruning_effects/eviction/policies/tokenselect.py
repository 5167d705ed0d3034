"""TokenSelect: nothing is deleted, every new token chooses what it attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.kv_cache.capabilities import cache_facts
from analysis.kv_cache.eviction_attention import Special
from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.budgets import kept_count
from analysis.pruning_effects.eviction.policies.base import Policy
from analysis.ties import keep_top

if TYPE_CHECKING:
    from analysis.kv_cache.layer_view import LayerView
    from analysis.kv_cache.prefill import Prefix
    from analysis.models.loading import LanguageModel


@dataclass(frozen=True)
class TokenSelect(Policy):
    """A vote of all heads of a layer, by every query for itself."""

    first_share: float = 1 / 21
    """Share of the budget for the first tokens."""
    last_share: float = 4 / 21
    """Share for the last tokens."""
    distance: int = 512
    """Tokens between query and key while they vote, whatever the true distance."""

    name = "tokenselect"
    label = "TokenSelect"
    deletes = False
    source = (
        f"{cited('tokenselect')}: every head's softmax over the keys before positions, added over the heads of a layer; query head "
        "h reads KV head h // g (the released kernel takes h modulo the KV heads). First 128, last 512 and 2,048 voted tokens as published, "
        "in these proportions within the budget. Each query chooses for itself: with published chunks of 512 later queries would vote too. "
        "Attention keeps original positions. Nothing is deleted, so no bytes are saved."
    )

    def unsupported(self, model: LanguageModel) -> str:
        """Rotary turns must be undone."""
        facts = cache_facts(model)
        return facts.no_layout if facts.has_tables and facts.layout is None else ""

    def score(self, view: LayerView) -> Tensor:
        """Nothing is chosen before the queries are there."""
        return torch.zeros(1, view.n_tokens)

    def keep(self, scores: Tensor, budgets: object) -> Tensor:
        """Everything."""
        return torch.ones(scores.shape, dtype=torch.bool)

    def special(self, prefix: Prefix, keep: Tensor, kept: float, n_new: int) -> Special:
        """The vote."""
        budget = kept_count(prefix.n_tokens, kept)

        def choose(layer: int, query: Tensor, positions: Tensor) -> Tensor:
            return self.vote(prefix, layer, query, positions, budget)

        return Special(choose=choose)

    def vote(self, prefix: Prefix, layer: int, query: Tensor, positions: Tensor, budget: int) -> Tensor:
        """Context tokens that each query attends to.

        Parameters
        ----------
        prefix : Prefix
            The context.
        layer : int
            Which keys.
        query : Tensor, shape (H, m, d)
            After positions.
        positions : Tensor, shape (m,)
            Of the queries.
        budget : int
            Tokens chosen per query.

        Returns
        -------
        Tensor of bool, shape (m, n)
        """
        key, rotation, n = prefix.keys[layer], prefix.rotations[layer], prefix.n_tokens
        if rotation is not None:
            query = rotation.move(query, positions, torch.full_like(positions, self.distance))
            key = rotation.turn(key, back=True)
        n_first, n_last = int(budget * self.first_share), int(budget * self.last_share)
        middle = slice(n_first, n - n_last)
        per_group = len(query) // len(key)
        votes = torch.zeros(query.shape[1], n - n_first - n_last, device=query.device)
        for head in range(len(query)):
            votes += (query[head].float() @ key[head // per_group, middle].T).softmax(-1)
        chosen = torch.ones(query.shape[1], n, dtype=torch.bool, device=query.device)
        chosen[:, middle] = keep_top(votes, budget - n_first - n_last)
        return chosen
