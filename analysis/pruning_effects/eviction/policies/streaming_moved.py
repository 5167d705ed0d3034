"""StreamingLLM as published: first tokens and window, positions counted within the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from analysis.kv_cache.capabilities import cache_facts, counts_positions
from analysis.kv_cache.continuation import compacted
from analysis.papers.citations import cited
from analysis.pruning_effects.eviction.policies.streaming import Streaming

if TYPE_CHECKING:
    from analysis.kv_cache.eviction_attention import Special
    from analysis.kv_cache.prefill import Prefix
    from analysis.models.loading import LanguageModel


@dataclass(frozen=True)
class StreamingMoved(Streaming):
    """The first few tokens and the newest, moved together."""

    stepwise = False
    name = "streaming-moved"
    label = "sinks + window, re-rotated"
    source = (
        f"StreamingLLM, {cited('streamingllm')}: 4 first tokens and a window, with positions counted within the "
        "cache: kept keys are turned to 0, 1, ... with the model's own tables, and what follows goes on from there. Evicted once "
        "here, where the published one evicts at every step."
    )

    def unsupported(self, model: LanguageModel) -> str:
        """Keys must be turnable, and nothing else may depend on where they stood."""
        facts = cache_facts(model)
        if facts.layout is None:
            return facts.no_layout
        if facts.spans:
            return "Its windows or chunks count original positions, which are lost when tokens are moved together."
        if counts_positions(model):
            return "It counts positions from the length of its cache, so tokens cannot be moved together."
        return ""

    def special(self, prefix: Prefix, keep: Tensor, kept: float, n_new: int) -> Special | None:
        """Keys at their places within the cache."""
        return compacted(prefix, keep)
