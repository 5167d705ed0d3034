"""What one run says about attention. Plain numpy, no model, no plotting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AttentionTrace:
    """Statistics of every query head H of every layer L, over T tokens.

    Row t is how token t attends; key t is how it is attended to. With a learned sink logit
    (gpt-oss) a row's weights on tokens sum to 1 minus ``learned_sink``.
    """

    entropy: np.ndarray
    """float32, (L, H, T), nats: entropy of row t over the tokens it can see, in [0, ln visible]."""
    received: np.ndarray
    """float32, (L, H, T), in [0, 1]: attention key t got, averaged over the queries that can see it."""
    sink_mass: np.ndarray
    """float32, (L, H), in [0, 1]: mean attention on key 0 over queries 1..T-1."""
    sink_baseline: np.ndarray
    """float32, (L,): the same for uniform attention over the visible tokens."""
    distance: np.ndarray
    """float32, (L, H), tokens: mean distance looked back, over queries 1..T-1."""
    value_norm: np.ndarray
    """float32, (L, G, T): Euclidean norm of each value, per KV head."""
    key_norm: np.ndarray
    """float32, (L, G, T): Euclidean norm of each key as the scores use it, per KV head."""
    window: np.ndarray
    """int32, (L,): tokens a query can see, itself included; 0 where there is no window."""
    learned_sink: np.ndarray | None = None
    """float32, (L, H): mean weight of the learned sink logit; None where the model has none."""

    @property
    def n_layers(self) -> int:
        """Layers L."""
        return self.entropy.shape[0]

    @property
    def n_heads(self) -> int:
        """Query heads H."""
        return self.entropy.shape[1]

    def kv_head(self, head: int) -> int:
        """KV head that serves a query head."""
        return head // (self.n_heads // self.value_norm.shape[1])
