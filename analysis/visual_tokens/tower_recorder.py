"""What the vision tower's attention is made of, read where it is computed: every patch sees every other.

The tower computes by the library's fused attention as it would anyway; one function that is registered with the
library once hands queries, keys and values on to whoever listens. It holds nothing of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from analysis.models.attention_choice import attention_choice
from analysis.models.library_parts import fused_attention, fused_mask
from analysis.visual_tokens.parts import vision_layers, vision_part

_NAME = "logitscope_tower"


@dataclass(frozen=True, eq=False)
class TowerCall:
    """Attention of one tower layer: over B pictures, or over one picture or window of Qwen-VL.

    Parameters
    ----------
    layer : int
        From 0.
    query, key, value : torch.Tensor
        (B, H, n, d), after positions.
    scale : float
        Factor on the scores.
    mask : torch.Tensor, optional
        (B or 1, 1, n, n): bool, or added to the scores.
    """

    layer: int
    query: Tensor
    key: Tensor
    value: Tensor
    scale: float
    mask: Tensor | None

    def logits(self, picture: int, rows: slice) -> Tensor:
        """Scores before the softmax of some rows of one picture, (H, rows, n), float32."""
        found = (self.query[picture, :, rows].float() @ self.key[picture].float().mT) * self.scale
        if self.mask is None:
            return found
        mask = self.mask[picture if len(self.mask) > 1 else 0, :, rows]
        if mask.dtype == torch.bool:
            return found.masked_fill(~mask, torch.finfo(found.dtype).min)
        return found + mask

    def weights(self, picture: int, rows: slice) -> Tensor:
        """Attention of some rows of one picture, (H, rows, n), float32."""
        return self.logits(picture, rows).softmax(-1)


@dataclass(frozen=True, eq=False)
class _Listener:
    layer_of: dict[nn.Module, int]
    hear: Callable[[TowerCall], None]


_CURRENT: ContextVar[_Listener | None] = ContextVar("tower", default=None)


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any = None, **keywords: Any
) -> tuple[Tensor, None]:
    """The attention interface of transformers, (B, heads, n, d) in, (B, n, heads, d) out."""
    listener = _CURRENT.get()
    layer = None if listener is None else listener.layer_of.get(module)
    if listener is not None and layer is not None:
        scale = keywords.get("scaling")
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        listener.hear(TowerCall(layer, query, key, value, scale, attention_mask))
    return fused_attention()(module, query, key, value, attention_mask, **keywords)


@cache
def _register() -> None:
    """Tell transformers our name, once."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, fused_mask())


@contextmanager
def hearing_tower(model: Any, hear: Callable[[TowerCall], None]) -> Iterator[None]:
    """Listen to a tower; its own attention comes back afterwards.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model.
    hear : callable
        Gets every :class:`TowerCall`, with its graph where gradients are followed.
    """
    _register()
    layer_of = {
        module: number for number, layer in enumerate(vision_layers(model)) for module in layer.modules()
    }
    token = _CURRENT.set(_Listener(layer_of, hear))
    try:
        with attention_choice(vision_part(model), _NAME):
            yield
    finally:
        _CURRENT.reset(token)
