"""Between transformers' attention interface and ours: one name, one place where a run's attention is current.

Two functions are registered with the library once and hold nothing of a run: one hands every call to the
attention that is current in this thread of execution, the other says what the model's own mask lets a query
see. What neither understands is refused, never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from analysis.errors import UnsupportedModelError
from analysis.forward.attention import Room, attend
from analysis.forward.attention_way import kernels_for
from analysis.forward.row_sums import Attended
from analysis.forward.visibility import CAUSAL, AttentionSpan, Visibility, span_of
from analysis.models.attention_choice import attention_choice
from analysis.models.body import hooks
from analysis.models.library_parts import eager_mask, fused_mask


class HasLayers(Protocol):
    """What knows its decoder layers, such as an :class:`analysis.models.anatomy.Anatomy`."""

    @property
    def layers(self) -> Any:
        """In order."""


Masks = Literal["eager", "fused"]
_NAME = "logitscope"
_UNDERSTOOD = {"scaling", "softcap", "sliding_window", "s_aux"}
_WITHOUT_EFFECT = {
    "dropout",
    "position_ids",
    "cache_position",
    "use_cache",
    "deterministic",
    "logits_to_keep",
}
"""Keywords that change nothing in a pass without training, as ``output_...`` do not: positions are in queries and
keys already."""


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """What one layer asks of its attention."""

    layer: int
    """Number of the decoder layer that runs, from 0."""
    module: nn.Module
    """Its attention module."""
    query: Tensor
    """(B, H, m, d), after positions."""
    key: Tensor
    """(B, G, p, d), after positions."""
    value: Tensor
    """(B, G, p, dv)."""
    scale: float
    """Factor on the scores."""
    softcap: float | None
    """``c tanh(x / c)`` on the scaled scores (Gemma 2)."""
    sink_logits: Tensor | None
    """(H,): learned logit beside the scores of every row (gpt-oss)."""
    span: AttentionSpan
    """What a query can see."""
    mask: Any
    """As the layer handed it over: nothing, an :class:`AttentionSpan`, or the library's tensor where that was
    asked for."""
    keywords: dict[str, Any]
    """As the layer handed them over."""


Attend = Callable[[AttentionCall], Tensor]
"""Gives a layer's output, (B, H, m, dv)."""


def attend_call(
    call: AttentionCall,
    visibility: Visibility | None = None,
    *,
    weightings: Tensor | None = None,
    room: Room | None = None,
) -> Attended:
    """What a layer asks for, of its one text, with its statistics: :func:`analysis.forward.attention.attend`.

    By kernels where they measure it: they know no soft cap and nothing that is hidden on top of the model's own mask.
    """
    states = call.query[0], call.key[0], call.value[0]
    asked: dict[str, Any] = {
        "scale": call.scale,
        "span": call.span,
        "sink_logits": call.sink_logits,
        "weightings": weightings,
    }
    if visibility is None and call.softcap is None and (fused := kernels_for(*states)):
        return fused(*states, **asked)
    return attend(*states, **asked, softcap=call.softcap, visibility=visibility, layer=call.layer, room=room)


@dataclass(eq=False)
class _Current:
    """The attention of one pass, and the layer that runs."""

    attend: Attend
    layer: int | None = None
    done: set[int] = field(default_factory=set)


_CURRENT: ContextVar[_Current | None] = ContextVar("attention", default=None)


def _dispatch(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any = None, **keywords: Any
) -> tuple[Tensor, None]:
    """The attention interface of transformers, (B, heads, m, d) in, (B, m, heads, d) out."""
    current, kind = _CURRENT.get(), type(module).__name__
    if current is None:
        raise UnsupportedModelError(
            f"{kind} attended through Logitscope outside a run.", "Load the model again."
        )
    if current.layer is None or current.layer in current.done:
        where = "outside its layers" if current.layer is None else f"twice in layer {current.layer}"
        raise UnsupportedModelError(f"{kind} attends {where}.", "Its attention cannot be measured.")
    current.done.add(current.layer)
    _require_understood(kind, keywords)
    span = attention_mask if isinstance(attention_mask, AttentionSpan) else CAUSAL
    scale, n_keys = keywords.get("scaling"), key.shape[2]
    call = AttentionCall(
        current.layer,
        module,
        query,
        key,
        value,
        scale if scale is not None else query.shape[-1] ** -0.5,
        keywords.get("softcap"),
        keywords.get("s_aux"),
        span,
        attention_mask,
        keywords,
    )
    if key.shape[0] != query.shape[0] or query.shape[1] % key.shape[1] or value.shape[2] != n_keys:
        raise UnsupportedModelError(
            f"{kind} attends with queries, keys and values that do not fit together.",
            "Its attention cannot be measured.",
        )
    return current.attend(call).transpose(1, 2).contiguous(), None


def _require_understood(kind: str, keywords: dict[str, Any]) -> None:
    """Refuse a keyword whose meaning is not known here: it could change the result."""
    for name, value in keywords.items():
        idle = (
            name in _WITHOUT_EFFECT or name.startswith("output_") or (name == "is_causal" and value is True)
        )
        if not idle and name not in _UNDERSTOOD and value is not None:
            raise UnsupportedModelError(
                f"{kind} attends with {name!r}, which Logitscope does not know.",
                "Its attention cannot be measured with this version.",
            )


def own_mask(call: AttentionCall, *, rows: int = 1) -> None:
    """Refuse a layer that brings a mask of its own, other batch rows than ours, or keys of another cache.

    Raises
    ------
    UnsupportedModelError
        Naming the attention module.
    """
    ours = call.mask is None or isinstance(call.mask, AttentionSpan)
    if not ours or call.query.shape[0] != rows or call.query.shape[2] != call.key.shape[2]:
        raise UnsupportedModelError(
            f"{type(call.module).__name__} brings an attention mask that is neither causal, a window nor chunks.",
            "Its attention cannot be measured.",
        )


def _describe_mask(
    *,
    mask_function: Callable[..., Any],
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    device: Any = "cpu",
    **_sizes: Any,
) -> AttentionSpan | str | None:
    """The mask interface of transformers: what a query sees instead of a matrix; None for everything before it.

    A mask that is not known here is a word: only a layer that uses it is refused.
    """
    if attention_mask is not None and not bool(attention_mask.all()):
        raise UnsupportedModelError(
            "The model masks padding.", "Attention is measured on one unpadded text at a time."
        )
    span = span_of(mask_function, local_size, device)
    return "unknown" if span is None else None if span == CAUSAL else span


@cache
def _register() -> None:
    """Tell transformers our names, once."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(_NAME, _dispatch)
    AttentionMaskInterface.register(_NAME, _describe_mask)
    makers: dict[Masks, Callable[..., Any]] = {"eager": eager_mask(), "fused": fused_mask()}
    for masks, maker in makers.items():
        AttentionInterface.register(f"{_NAME}_with_{masks}_masks", _dispatch)
        AttentionMaskInterface.register(f"{_NAME}_with_{masks}_masks", maker)


@contextmanager
def attending(
    model: Any, anatomy: HasLayers, attend: Attend, *, library_masks: bool | Masks = False
) -> Iterator[None]:
    """Let a model attend through a function of ours; its own implementation comes back afterwards.

    Parameters
    ----------
    model
        transformers' model.
    anatomy : HasLayers
        Its parts: the layer that runs is told by its place in ``anatomy.layers``.
    attend : callable
        Gets every layer's :class:`AttentionCall`, at most one per layer and pass.
    library_masks : bool or {"eager", "fused"}, default False
        Hand over the masks that the library makes for its own eager attention (True), or for its fused one: that has
        none where everything before a query is seen, or where its module says it attends both ways.
    """
    _register()
    current = _Current(attend)

    def enters(layer: int) -> Callable[[nn.Module, Any], None]:
        def hook(_module: nn.Module, _args: Any) -> None:
            current.layer = layer
            current.done.discard(layer)  # a new pass

        return hook

    def leaves(_module: nn.Module, _args: Any, _output: Any) -> None:
        current.layer = None

    masks = "eager" if library_masks is True else library_masks
    name = f"{_NAME}_with_{masks}_masks" if masks else _NAME
    token = _CURRENT.set(current)
    try:
        with hooks() as handles, attention_choice(model, name):
            for i, layer in enumerate(anatomy.layers):
                handles.append(layer.register_forward_pre_hook(enters(i)))
                handles.append(layer.register_forward_hook(leaves))
            yield
    finally:
        _CURRENT.reset(token)
