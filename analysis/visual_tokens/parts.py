"""Parts of a vision-language model: language model and tower, their layers and theirs, projector, and which positions hold the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from analysis.errors import UnsupportedModelError


def language_part(model: Any) -> nn.Module:
    """Return the language model inside a vision-language model: what has the embeddings, the layers and the norm.

    Raises
    ------
    UnsupportedModelError
        If there is none.
    """
    inner = getattr(model, "model", None)
    for name in ("language_model", "text_model"):
        part = getattr(inner, name, None)
        if isinstance(part, nn.Module) and hasattr(part, "layers"):
            return part
    raise UnsupportedModelError(
        f"{type(model).__name__} has no language model that is known here.",
        "Open a vision-language model of the LLaVA, Idefics, Qwen-VL, Gemma 3, InternVL or PaliGemma families.",
    )


def language_layers(model: Any) -> Sequence[nn.Module]:
    """Return the decoder layers of the language model, in order."""
    part = language_part(model)
    return list(part.layers)[: part.config.num_hidden_layers]


def vision_part(model: Any) -> nn.Module:
    """Return the vision tower inside a vision-language model.

    Raises
    ------
    UnsupportedModelError
        If there is none.
    """
    for name in ("vision_tower", "vision_model", "visual"):
        part = getattr(model.model, name, None)
        if isinstance(part, nn.Module):
            return part
    raise UnsupportedModelError(
        f"{type(model).__name__} has no vision tower that is known here.",
        "Open a vision-language model of the LLaVA, Idefics, Qwen-VL, Gemma 3, InternVL or PaliGemma families.",
    )


def vision_layers(model: Any) -> Sequence[nn.Module]:
    """Return the layers of the vision tower, in order."""
    tower = vision_part(model)
    n = getattr(tower.config, "num_hidden_layers", None) or tower.config.depth
    lists = [part for part in tower.modules() if isinstance(part, nn.ModuleList) and len(part) == n]
    return list(max(lists, key=_size))


def _size(part: nn.Module) -> int:
    return sum(value.numel() for value in part.parameters())


def feature_layer(model: Any) -> int:
    """Number of the tower layer whose states become visual tokens, from 0; -1 where none has run.

    Of Qwen2.5-VL, the last one that attends over the whole picture.
    """
    n = len(vision_layers(model))
    whole = getattr(model.config.vision_config, "fullatt_block_indexes", None)
    if whole:
        return max(whole)
    chosen = getattr(model.config, "vision_feature_layer", -1)
    chosen = chosen if isinstance(chosen, int) else chosen[-1]
    return n + chosen if chosen < 0 else chosen - 1


def sublayers(layer: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """Return what is given the normalised states, and what makes the change that is added: for attention and MLP.

    The two are one module, but where a layer also normalises what it adds (Gemma 3). None where a layer has
    no ``self_attn`` and ``mlp``.
    """
    first = [getattr(layer, name, None) for name in ("self_attn", "mlp")]
    last = first
    if hasattr(layer, "post_feedforward_layernorm"):
        last = [layer.post_attention_layernorm, layer.post_feedforward_layernorm]
    return [
        (takes, makes)
        for takes, makes in zip(first, last, strict=True)
        if isinstance(takes, nn.Module) and isinstance(makes, nn.Module)
    ]


def token_projector(model: Any) -> nn.Module | None:
    """Return what turns the tower's features into the language model's, if it may take token by token."""
    inner = model.model
    connector = getattr(inner, "connector", None)
    return getattr(inner, "multi_modal_projector", None) or getattr(connector, "modality_projection", None)


def image_token_id(model: Any) -> int:
    """Return the id that stands in a text for each visual token.

    Raises
    ------
    UnsupportedModelError
        If the configuration names none.
    """
    for name in ("image_token_id", "image_token_index"):
        found = getattr(model.config, name, None)
        if isinstance(found, int):
            return found
    raise UnsupportedModelError(
        f"The configuration of {type(model).__name__} names no image token.", "Open a vision-language model."
    )


def visual_positions(model: Any, ids: Tensor) -> Tensor:
    """Positions that hold an image: (n,) of int64, rising.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    ids : torch.Tensor
        (S,), one text. Positions of learned newlines are among them.
    """
    return (ids == image_token_id(model)).nonzero()[:, 0]
