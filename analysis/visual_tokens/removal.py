"""Taking tokens away from layer l on: hidden by a mask, or physically gone; both leave the same numbers.

Layer l is the first of the language model that no longer sees a token; l = 0 takes it away before the language
model. Positions of the others stay as they were. A mask is exact for prefill and decoding in every family and
costs nothing less; dropped states save time and memory, and are meant for one pass over a whole text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import UnsupportedModelError
from analysis.models.attention_choice import attention_name
from analysis.models.library_parts import features_added_by
from analysis.visual_tokens.parts import language_layers, language_part

_MASKED = ("sdpa", "eager")
"""Kernels of the library that take a mask of four dimensions."""


def _layers_from(model: Any, layer: int) -> Sequence[nn.Module]:
    layers = language_layers(model)
    assert 0 <= layer <= len(layers)
    kernel = attention_name(language_part(model))
    if kernel not in _MASKED:
        raise UnsupportedModelError(
            f"Tokens cannot be taken away under the attention kernel {kernel}.",
            "Load the model with sdpa or eager.",
        )
    return layers[layer:]


@contextmanager
def hidden(model: Any, positions: Tensor, layer: int) -> Iterator[None]:
    """Hide tokens from layer l on: nobody sees them there but they themselves.

    Holds for every pass inside the block, so that decoding does not see them either.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model, attention "sdpa" or "eager"; one text a batch.
    positions : torch.Tensor
        (r,) of int64: positions in the text.
    layer : int
        l, 0 to the number of layers (then nothing is hidden).

    Raises
    ------
    UnsupportedModelError
        Under other attention kernels.
    """
    layers = _layers_from(model, layer)

    def hook(index: int) -> Callable[..., Any]:
        def before(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            states = arguments[0] if arguments else keywords["hidden_states"]
            n, cache = states.shape[1], keywords.get("past_key_values")
            n_keys, first, seen = n, 0, 0
            if cache is not None:
                n_keys, first = cache.get_mask_sizes(n, index)
                seen = cache.get_seq_length(index)
            mask = keywords.get("attention_mask")
            if mask is None:
                mask = _own_visibility(module, states, n_keys, first, seen)
            mask = _additive(mask, states)
            keys = positions[(positions >= first) & (positions < first + n_keys)] - first
            own = torch.arange(seen, seen + n, device=states.device)[:, None] == keys + first
            blocked = torch.finfo(states.dtype).min
            mask[..., keys] = torch.where(own, mask[..., keys], blocked)
            return arguments, keywords | {"attention_mask": mask}

        return before

    with _hooks(layers, lambda i: hook(layer + i)):
        yield


def _own_visibility(module: nn.Module, states: Tensor, n_keys: int, first: int, seen: int) -> Tensor:
    """What a layer sees that is given no mask: what came before, or everything where it attends both ways."""
    if not getattr(getattr(module, "self_attn", None), "is_causal", True):
        return torch.ones(1, 1, states.shape[1], n_keys, dtype=torch.bool, device=states.device)
    query = torch.arange(seen, seen + states.shape[1], device=states.device)[:, None]
    key = torch.arange(first, first + n_keys, device=states.device)[None, :]
    return (key <= query)[None, None]


def _additive(mask: Tensor, states: Tensor) -> Tensor:
    """A mask as a new one that is added to scores: 0 or the lowest number."""
    if mask.dtype != torch.bool:
        return mask.clone()
    lowest = torch.finfo(states.dtype).min
    return torch.zeros(mask.shape, dtype=states.dtype, device=mask.device).masked_fill_(~mask, lowest)


@contextmanager
def dropped(model: Any, positions: Tensor, layer: int) -> Iterator[None]:
    """Take tokens out of the states before layer l, with everything that goes with them.

    The model's output then has one row for each token that is left. One pass over a whole text, without a
    cache: later steps need the mask of :func:`hidden`.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model, attention "sdpa" or "eager"; one text a batch.
    positions : torch.Tensor
        (r,) of int64: positions in the text.
    layer : int
        l, 0 to one less than the number of layers.

    Raises
    ------
    UnsupportedModelError
        Under other attention kernels.
    """
    with dropped_in_stages(model, [(layer, positions)]):
        yield


@contextmanager
def dropped_in_stages(model: Any, stages: Sequence[tuple[int, Tensor]]) -> Iterator[None]:
    """Take tokens out before several layers, as :func:`dropped` does before one.

    Parameters
    ----------
    model
        As for :func:`dropped`.
    stages : sequence of (int, torch.Tensor)
        By rising layer: the layer, and the positions in the text of what goes there; none goes twice.
    """
    at = dict(stages)
    layers = _layers_from(model, min(at))
    first = len(language_layers(model)) - len(layers)
    left: dict[int, Tensor] = {}

    def hook(index: int) -> Callable[..., Any]:
        layer = first + index

        def before(_module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            states = arguments[0] if arguments else keywords.pop("hidden_states")
            present = left[layer - 1] if index else torch.arange(states.shape[1], device=states.device)
            if layer in at:
                stays = ~torch.isin(present, at[layer])
                states, present = states[:, stays], present[stays]
            left[layer] = present
            return (states, *arguments[1:]), keywords | _without(keywords, present)

        return before

    with _hooks(layers, hook), features_added_by(language_part(model), _left_only(left)):
        yield


def _without(keywords: dict[str, Any], left: Tensor) -> dict[str, Any]:
    """What the layers get for the whole text, for those that are left."""
    found: dict[str, Any] = {}
    mask = keywords.get("attention_mask")
    if mask is not None:
        found["attention_mask"] = mask[..., left, :][..., left]
    if keywords.get("position_ids") is not None:
        found["position_ids"] = keywords["position_ids"][..., left]
    if keywords.get("position_embeddings") is not None:
        found["position_embeddings"] = tuple(part[..., left, :] for part in keywords["position_embeddings"])
    return found


def _left_only(left: Mapping[int, Tensor]) -> Callable[..., Callable[..., Tensor]]:
    """Qwen3-VL adds features of the tower after its first layers, outside of them: only to tokens that are left."""

    def wrap(add: Callable[..., Tensor]) -> Callable[..., Tensor]:
        layers = count()

        def add_to_left(states: Tensor, visual: Tensor, features: Tensor) -> Tensor:
            present = left.get(next(layers))
            if present is not None:
                kept = torch.zeros_like(visual[0])
                kept[present] = True
                visual, features = visual[:, present], features[kept[visual[0]]]
            return add(states, visual, features)

        return add_to_left

    return wrap


@contextmanager
def _hooks(layers: Sequence[nn.Module], hook: Callable[[int], Callable[..., Any]]) -> Iterator[None]:
    handles = [one.register_forward_pre_hook(hook(i), with_kwargs=True) for i, one in enumerate(layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
