"""What one run says about attention. Plain numpy, no model, no plotting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


def _unknown() -> np.ndarray:
    """Stands for a value that an older file does not have."""
    return np.zeros(0, np.int32)


def visible_keys(n: int, window: int = 0, chunk: int = 0) -> np.ndarray:
    """How many keys each of n queries can see, itself included, int64, (n,).

    Parameters
    ----------
    n : int
        Tokens.
    window, chunk : int
        Length of a sliding window or of the chunks that attention stays within; 0 for none.
    """
    position = np.arange(n)
    visible = position + 1
    if window:
        visible = np.minimum(visible, window)
    return np.minimum(visible, position % chunk + 1) if chunk else visible


def seeing_queries(n: int, window: int = 0, chunk: int = 0) -> np.ndarray:
    """How many of n queries can see each key, int64, (n,); parameters as :func:`visible_keys`."""
    position = np.arange(n)
    queries = n - position
    if window:
        queries = np.minimum(queries, window)
    return np.minimum(queries, chunk - position % chunk) if chunk else queries


@dataclass(frozen=True)
class AttentionTrace:
    """Statistics of every query head H of the K layers that have attention, over T tokens.

    Row t is how token t attends; key t is how it is attended to. With a learned sink logit
    (gpt-oss) a row's weights on tokens sum to 1 minus ``learned_sink``. K is the number of layers L of
    the model, but for models that mix attention with other layers; ``layer_numbers`` says which they are.
    """

    entropy: np.ndarray
    """float32, (K, H, T), nats: entropy of row t over the tokens it can see, in [0, ln visible]."""
    received: np.ndarray
    """float32, (K, H, T), in [0, 1]: attention key t got, averaged over the queries that can see it."""
    sink_mass: np.ndarray
    """float32, (K, H), in [0, 1]: mean attention on key 0 over queries 1..T-1."""
    sink_baseline: np.ndarray
    """float32, (K,): the same for uniform attention over the visible tokens."""
    distance: np.ndarray
    """float32, (K, H), tokens: mean distance looked back, over queries 1..T-1."""
    value_norm: np.ndarray
    """float32, (K, G, T): Euclidean norm of each value, per KV head."""
    key_norm: np.ndarray
    """float32, (K, G, T): Euclidean norm of each key as the scores use it, per KV head."""
    window: np.ndarray
    """int32, (K,): tokens a query can see, itself included; 0 where there is no window."""
    learned_sink: np.ndarray | None = None
    """float32, (K, H): mean weight of the learned sink logit; None where the model has none."""
    layer_numbers: np.ndarray = field(default_factory=_unknown)
    """int32, (K,), rising: number of each layer in the model, from 0. Files from before it was kept have all layers."""
    chunk: np.ndarray = field(default_factory=_unknown)
    """int32, (K,): tokens of the chunks that attention stays within (Llama 4); 0 where there are none."""
    gate: np.ndarray | None = None
    """float32, (K, H): share of a head's output that the layer's own gate lets pass, mean over the tokens; None
    where the model has no such gate."""

    def __post_init__(self) -> None:
        n = len(self.entropy)
        if not len(self.layer_numbers):
            object.__setattr__(self, "layer_numbers", np.arange(n, dtype=np.int32))
        if not len(self.chunk):
            object.__setattr__(self, "chunk", np.zeros(n, np.int32))

    @property
    def n_layers(self) -> int:
        """Layers with attention, K."""
        return self.entropy.shape[0]

    @property
    def n_heads(self) -> int:
        """Query heads H."""
        return self.entropy.shape[1]

    def kv_head(self, head: int) -> int:
        """KV head that serves a query head."""
        return head // (self.n_heads // self.value_norm.shape[1])

    def row_of(self, layer: int) -> int:
        """Where a layer of the model stands in these arrays.

        Raises
        ------
        ValueError
            If the layer has no attention.
        """
        found = np.flatnonzero(self.layer_numbers == layer)
        if not len(found):
            raise ValueError(f"layer {layer} has no softmax attention")
        return int(found[0])

    def visible(self) -> np.ndarray:
        """Keys that each query can see, int64, (K, T)."""
        return self._by_layer(visible_keys)

    def seen_by(self) -> np.ndarray:
        """Queries that can see each key, int64, (K, T)."""
        return self._by_layer(seeing_queries)

    def _by_layer(self, count: Callable[[int, int, int], np.ndarray]) -> np.ndarray:
        n = self.entropy.shape[2]
        spans = zip(self.window.tolist(), self.chunk.tolist(), strict=True)
        return np.stack([count(n, window, chunk) for window, chunk in spans])
