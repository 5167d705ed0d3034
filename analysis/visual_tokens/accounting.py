"""What visual tokens cost: counts, averages over layers, floating-point operations and bytes of the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from analysis.visual_tokens.policies.base import Choice


@dataclass(frozen=True)
class LanguageShape:
    """Sizes of a language model.

    Parameters
    ----------
    n_layers, width, mlp : int
        Layers, width of the states and of the gated MLP.
    n_heads, n_kv_heads, head_width : int
    """

    n_layers: int
    width: int
    mlp: int
    n_heads: int
    n_kv_heads: int
    head_width: int


def tokens_per_layer(choice: Choice, n_layers: int) -> np.ndarray:
    """Visual tokens in each layer of the language model, (L,) of int64. Merged ones count."""
    found = np.full(n_layers, choice.n, np.int64)
    for stage in choice.stages:
        found[stage.layer :] = len(stage.kept)
    return found


def kept_for_average(n: int, average: float, layer: int, n_layers: int) -> int | None:
    """Tokens that must be left from one layer on for an average over all layers; None where none is so few.

    Parameters
    ----------
    n : int
        Tokens before that layer, N.
    average : float
        Over all layers.
    layer : int
        First layer with fewer tokens, K.
    n_layers : int
        L.

    Returns
    -------
    int or None
        (L * average - K * N) / (L - K), rounded; None below the floor or above N, and where there is no layer K.
    """
    if layer >= n_layers:
        return None
    wanted = (n_layers * average - layer * n) / (n_layers - layer)
    return None if wanted < -1e-9 or wanted > n + 1e-9 else int(wanted + 0.5)


def average_floor(n: int, layer: int, n_layers: int) -> float:
    """Smallest average of a method that leaves all N tokens to the first K layers: K N / L."""
    return layer * n / n_layers


def flops(counts: np.ndarray, n_text: int, shape: LanguageShape) -> int:
    """Floating-point operations of the language model's layers in the prefill, two for each multiply and add.

    Parameters
    ----------
    counts : numpy.ndarray
        (L,), visual tokens in each layer.
    n_text : int
        Other tokens, the same in all layers.
    shape : LanguageShape

    Notes
    -----
    Per layer with n tokens: projections ``4 n d (H + G) w``, gated MLP ``6 n d m``, and attention ``4 H w`` for each
    of the ``n (n + 1) / 2`` pairs that a causal mask allows. Tower, embeddings and vocabulary head are left out.
    """
    assert len(counts) == shape.n_layers
    n = counts.astype(object) + n_text
    heads = (shape.n_heads + shape.n_kv_heads) * shape.head_width
    each = 4 * shape.width * heads + 6 * shape.width * shape.mlp
    pairs = 2 * shape.n_heads * shape.head_width
    return int((n * each + n * (n + 1) * pairs).sum())


def cache_bytes(counts: np.ndarray, n_text: int, shape: LanguageShape, bytes_each: int) -> int:
    """Bytes of keys and values of all layers after the prefill, if what is pruned is not stored."""
    assert len(counts) == shape.n_layers
    return int((counts + n_text).sum()) * 2 * shape.n_kv_heads * shape.head_width * bytes_each


def language_shape(model: Any) -> LanguageShape:
    """Sizes of the language model inside a vision-language model."""
    text = model.config.get_text_config()
    heads = text.num_attention_heads
    return LanguageShape(
        n_layers=text.num_hidden_layers,
        width=text.hidden_size,
        mlp=text.intermediate_size,
        n_heads=heads,
        n_kv_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_width=getattr(text, "head_dim", None) or text.hidden_size // heads,
    )


def traced(choice: Choice, n_layers: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each token goes.

    Returns
    -------
    gone_from : numpy.ndarray
        (N,) of int16: first layer that no longer sees it by itself, the number of layers where all do.
    merged_into : numpy.ndarray
        (N,) of int32: token left in the end that it has most weight in; -1 where nothing of it is left.
    """
    gone_from = np.full(choice.n, n_layers, np.int16)
    for stage in reversed(choice.stages):
        gone = np.ones(choice.n, bool)
        gone[stage.kept.numpy()] = False
        gone_from[gone] = min(stage.layer, n_layers)
    last, merged_into = choice.stages[-1], np.full(choice.n, -1, np.int32)
    kept = last.kept.numpy()
    if last.mix is None:
        merged_into[kept] = kept
    elif len(kept):
        weight, row = last.mix.max(0)
        merged_into = np.where(weight.numpy() > 0, kept[row.numpy()], -1).astype(np.int32)
    return gone_from, merged_into
