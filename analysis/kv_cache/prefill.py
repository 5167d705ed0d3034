"""One prefill: the keys and values of a context, and a look at every layer while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from analysis.errors import UnsupportedModelError
from analysis.forward.attention import Room
from analysis.forward.attention_adapter import AttentionCall, attend_call, attending, own_mask
from analysis.forward.attention_probe import require_attention
from analysis.forward.read_cache import has_recurrence, read_cache
from analysis.forward.row_check import RowCheck
from analysis.forward.unavailable import different_rows
from analysis.forward.visibility import CAUSAL, AttentionSpan
from analysis.kv_cache.layer_view import LayerView
from analysis.kv_cache.rotary import Layout, Rotation
from analysis.models.body import hooks, run_body
from analysis.models.linear import fast_linears
from analysis.models.loading import LanguageModel


@dataclass(eq=False)
class Prefix:
    """What a model keeps of a context."""

    ids: Tensor
    """int64, (n,)."""
    keys: list[Tensor] = field(default_factory=list)
    """Per layer with attention (G, n, d), at least float32, after positions."""
    values: list[Tensor] = field(default_factory=list)
    """Per layer (G, n, dv), at least float32."""
    spans: list[AttentionSpan] = field(default_factory=list)
    """Per layer, what the model's own mask lets a query see."""
    rotations: list[Rotation | None] = field(default_factory=list)
    layer_numbers: list[int] = field(default_factory=list)
    """Of the layers that have attention, their numbers in the model."""
    recurrent: Any = None
    """Cache of transformers with the states of layers that keep no keys; None where there are no such layers."""
    final_states: Tensor | None = None
    """(n, D), after the final norm."""

    @property
    def n_tokens(self) -> int:
        """Length of the context."""
        return len(self.ids)


def wide(states: Tensor) -> Tensor:
    """States in float32, or in float64 where the model has that."""
    return states if states.dtype == torch.float64 else states.float()


def read_prefix(
    model: LanguageModel,
    ids: Tensor,
    observe: Callable[[LayerView], None],
    *,
    layout: Layout | None = None,
    weightings: Mapping[str, np.ndarray] | None = None,
    on_layer: Callable[[int], None] = lambda _layer: None,
    check: RowCheck | None = None,
) -> Prefix:
    """Run a context once and keep its keys and values, and the states of layers that have none.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    ids : Tensor, shape (n,), int64
        The context.
    observe : callable
        Called with every layer's :class:`LayerView` while it runs; keep no tensor of it.
    layout : str, optional
        Of :func:`analysis.kv_cache.capabilities.cache_facts`.
    weightings : dict of str to ndarray, each (n,), optional
        Weights of the queries in the column sums, by name. Without them nothing is measured, and the library's
        fused attention runs where it can.
    on_layer : callable
        Called with the number of finished layers. Raising from it stops the pass.
    check : RowCheck, optional
        Holds the last rows of every layer against the library's own function.

    Raises
    ------
    UnsupportedModelError
        If the model's attention cannot be measured, or differs from the library's.
    """
    anatomy = model.anatomy
    require_attention(model, ids)
    named = weightings or {}
    weights = torch.from_numpy(np.stack(list(named.values()), 1)).float() if named else None
    reader = _Reader(Prefix(ids), observe, layout, tuple(named), weights, check)
    recurrent = read_cache(model.model, 0)
    with_states = has_recurrence(recurrent)
    with hooks() as handles:
        for i, layer in enumerate(anatomy.layers):
            handles.append(layer.register_forward_pre_hook(reader.takes_table(i), with_kwargs=True))
            handles.append(layer.register_forward_hook(lambda _m, _a, _o, at=i: on_layer(at + 1)))
        for module in model.model.modules():
            if hasattr(module, "inv_freq") or type(module).__name__.endswith("RotaryEmbedding"):
                handles.append(module.register_forward_hook(reader.take_call, with_kwargs=True))
        caught = anatomy.watch_final(handles)
        with attending(model.model, anatomy, reader.attend), fast_linears(model.model):
            run_body(
                model.model,
                ids[None].to(anatomy.head.weight.device),
                cache=recurrent if with_states else None,
            )
    prefix = reader.prefix
    prefix.final_states = caught["final"][0]
    if check is not None and not check.passed():
        raise UnsupportedModelError(
            f"The cache of {model.info.name} cannot be pruned here. {different_rows(check)}",
            "Choose another model or a shorter text.",
        )
    if with_states:
        recurrent.n_read = len(ids)
        prefix.recurrent = recurrent
    return prefix


@dataclass(eq=False)
class _Reader:
    """What hooks and attention of one prefill see, layer after layer."""

    prefix: Prefix
    observe: Callable[[LayerView], None]
    layout: Layout | None
    names: tuple[str, ...]
    """Of the weightings."""
    weights: Tensor | None
    """(n, w): those of the queries; None without any."""
    check: RowCheck | None
    room: Room = field(default_factory=Room)
    tables: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Cosines and sines that each layer was given."""
    calls: list[_TableCall] = field(default_factory=list)
    """The calls that made them."""

    def takes_table(self, layer: int) -> Callable[[nn.Module, Any, Any], None]:
        """Hook before a layer."""

        def hook(_module: nn.Module, _args: Any, kwargs: Any) -> None:
            table = kwargs.get("position_embeddings")
            if isinstance(table, (tuple, list)) and len(table) == 2 and torch.is_tensor(table[0]):
                self.tables[layer] = (table[0], table[1])

        return hook

    def take_call(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """Hook behind a module that makes cosines and sines."""
        self.calls.append(_TableCall(module, args, kwargs, output))

    def attend(self, call: AttentionCall) -> Tensor:
        """Attend for one layer and keep its keys and values."""
        own_mask(call)
        prefix, query, key, value = self.prefix, call.query[0], call.key[0], call.value[0]
        columns: dict[str, Tensor] = {}
        plain = call.span == CAUSAL and call.softcap is None and call.sink_logits is None
        if self.weights is not None and self.weights.device != query.device:
            self.weights = self.weights.to(query.device)
        if self.weights is None and plain:
            output = scaled_dot_product_attention(
                call.query, call.key, call.value, is_causal=True, scale=call.scale, enable_gqa=True
            )[0]
        else:
            attended = attend_call(call, weightings=self.weights, room=self.room)
            output = attended.output
            columns = {name: attended.columns[:, i] for i, name in enumerate(self.names)}
        if self.check is not None:
            self.check.compare(call, output)
        rotation = self._rotation(call.layer, call.module)
        self.observe(
            LayerView(
                len(prefix.keys),
                call.module,
                query,
                key,
                value,
                call.scale,
                call.softcap,
                call.span,
                call.sink_logits,
                columns,
                rotation,
            )
        )
        prefix.layer_numbers.append(call.layer)
        prefix.keys.append(wide(key).contiguous())
        prefix.values.append(wide(value).contiguous())
        prefix.spans.append(call.span)
        prefix.rotations.append(rotation)
        return output[None]

    def _rotation(self, layer: int, module: nn.Module) -> Rotation | None:
        """Turn of the layer that runs; None without one, or where its layout is not known."""
        table = self.tables.get(layer) if getattr(module, "use_rope", True) else None
        if table is None:
            return None
        made = [call for call in self.calls if call.output[0] is table[0]]
        if self.layout is None or not made:
            return None
        return Rotation(_rows(table[0]), _rows(table[1]), self.layout, made[0].at)


@dataclass(frozen=True, eq=False)
class _TableCall:
    """One call of a module that makes cosines and sines, to be made again for other positions."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        def swap(value: Any) -> Any:
            is_positions = torch.is_tensor(value) and not value.is_floating_point()
            return positions[None].to(value.device) if is_positions else value

        cos, sin = self.module.forward(
            *map(swap, self.args), **{name: swap(value) for name, value in self.kwargs.items()}
        )
        return _rows(cos), _rows(sin)


def _rows(table: Tensor) -> Tensor:
    """Cosines or sines as float32, (T, r)."""
    return table.float().reshape(-1, table.shape[-1])
