"""One prefill: the keys and values of a context, and a look at every layer while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from analysis.errors import UnsupportedModelError
from analysis.forward.attention import attend, last_rows
from analysis.forward.interface import own_attention, require_plain
from analysis.forward.rotation import Layout, Rotation
from analysis.models.anatomy import first_tensor, hooks, run_body
from analysis.models.loading import LanguageModel

_NAME = "logitscope_prefix"
NOT_PRUNED = "Its cache cannot be pruned here."


@dataclass(eq=False)
class LayerReading:
    """What one layer's attention sees of the context; alive only while the layer runs."""

    layer: int
    n_layers: int
    module: nn.Module
    query: Tensor
    """(H, n, d), after positions."""
    key: Tensor
    """(G, n, d), after positions."""
    value: Tensor
    """(G, n, dv)."""
    scale: float
    softcap: float | None
    window: int | None
    sink_logits: Tensor | None
    columns: Tensor | None
    """float64, (H, w, n): ``P^T W`` for the weightings asked for; None without any."""
    rotation: Rotation | None
    """None without rotary positions in this layer, or where their layout is not known."""
    rotary_known: bool
    """Whether ``rotation`` says all about positions: False where a layout is not known."""

    @property
    def per_group(self) -> int:
        """Query heads of one KV head."""
        return self.query.shape[0] // self.key.shape[0]

    def last_rows(self, w: int) -> Tensor:
        """Attention weights of the last w queries, float32, (H, w, n)."""
        if self._rows is None or self._rows.shape[1] < w:
            self._rows = last_rows(
                self.query,
                self.key,
                w,
                scale=self.scale,
                softcap=self.softcap,
                window=self.window,
                sink_logits=self.sink_logits,
            )
        return self._rows[:, -w:]

    _rows: Tensor | None = field(default=None, repr=False)

    @cached_property
    def query_before_positions(self) -> Tensor:
        """(H, n, d), float32: queries with their rotary turn undone."""
        return self.query.float() if self.rotation is None else self.rotation.turn(self.query, back=True)


@dataclass(eq=False)
class Prefix:
    """What a model keeps of a context."""

    ids: Tensor
    """int64, (n,)."""
    keys: list[Tensor] = field(default_factory=list)
    """Per layer (G, n, d), at least float32, after positions."""
    values: list[Tensor] = field(default_factory=list)
    """Per layer (G, n, dv), at least float32."""
    windows: list[int | None] = field(default_factory=list)
    """Per layer, tokens a query can see."""
    rotations: list[Rotation | None] = field(default_factory=list)
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
    look: Callable[[LayerReading], None],
    *,
    layout: Layout | None = None,
    weightings: Tensor | None = None,
    on_layer: Callable[[int], None] = lambda _layer: None,
) -> Prefix:
    """Run a context once and keep its keys and values.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    ids : Tensor, shape (n,), int64
        The context.
    look : callable
        Called with every layer's :class:`LayerReading` while it runs; keep no tensor of it.
    layout : str, optional
        Of :func:`analysis.forward.cache_facts.cache_facts`.
    weightings : Tensor, shape (n, w), optional
        Weights of the queries in the column sums. Without them nothing is measured, and the library's fused
        attention runs where it can.
    on_layer : callable
        Called with the number of finished layers. Raising from it stops the pass.
    """
    anatomy = model.anatomy
    reader = _Reader(Prefix(ids), look, len(anatomy.layers), layout, weightings)
    with hooks() as handles:
        for i, layer in enumerate(anatomy.layers):
            handles.append(layer.register_forward_pre_hook(reader.takes_table(i), with_kwargs=True))
            handles.append(layer.register_forward_hook(lambda _m, _a, _o, at=i: on_layer(at + 1)))
        for module in model.model.modules():
            if hasattr(module, "inv_freq") or type(module).__name__.endswith("RotaryEmbedding"):
                handles.append(module.register_forward_hook(reader.take_call, with_kwargs=True))
        last = anatomy.after_layers[-1] if anatomy.after_layers else anatomy.layers[-1]
        handles.append(last.register_forward_hook(reader.take_final))
        with own_attention(model.model, _NAME, reader.attend):
            run_body(model.model, ids[None].to(anatomy.head.weight.device))
    prefix = reader.prefix
    if len(prefix.keys) != len(anatomy.layers):
        raise UnsupportedModelError(
            f"{len(prefix.keys)} of {len(anatomy.layers)} layers use transformers' attention interface.",
            "This model's cache cannot be pruned here.",
        )
    return prefix


@dataclass(eq=False)
class _Reader:
    """What hooks and attention of one prefill see, layer after layer."""

    prefix: Prefix
    look: Callable[[LayerReading], None]
    n_layers: int
    layout: Layout | None
    weightings: Tensor | None
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

    def take_final(self, _module: nn.Module, _args: Any, output: Any) -> None:
        """Hook behind the final norm."""
        self.prefix.final_states = first_tensor(output)[0]

    def attend(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        softcap: float | None = None,
        sliding_window: int | None = None,
        s_aux: Tensor | None = None,
        **_others: Any,
    ) -> tuple[Tensor, None]:
        """The attention interface of transformers, (1, heads, T, d) in, (1, T, heads, d) out."""
        require_plain(module, attention_mask, query, key, NOT_PRUNED)
        prefix, scale = self.prefix, scaling if scaling is not None else query.shape[-1] ** -0.5
        columns: Tensor | None = None
        if self.weightings is None and softcap is None and sliding_window is None and s_aux is None:
            output = scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=scale, enable_gqa=True
            )[0]
        else:
            attended = attend(
                query[0],
                key[0],
                value[0],
                scale=scale,
                softcap=softcap,
                window=sliding_window,
                sink_logits=s_aux,
                weightings=None if self.weightings is None else self.weightings.to(query.device),
            )
            output, columns = attended.output, None if self.weightings is None else attended.columns
        rotation, known = self._rotation(module)
        self.look(
            LayerReading(
                len(prefix.keys),
                self.n_layers,
                module,
                query[0],
                key[0],
                value[0],
                scale,
                softcap,
                sliding_window,
                s_aux,
                columns,
                rotation,
                known,
            )
        )
        prefix.keys.append(wide(key[0]).contiguous())
        prefix.values.append(wide(value[0]).contiguous())
        prefix.windows.append(sliding_window)
        prefix.rotations.append(rotation)
        return output.transpose(0, 1)[None].contiguous(), None

    def _rotation(self, module: nn.Module) -> tuple[Rotation | None, bool]:
        """Turn of the layer that runs, None without one, and whether that says all about positions."""
        table = self.tables.get(len(self.prefix.keys)) if getattr(module, "use_rope", True) else None
        if table is None:
            return None, True
        made = [call for call in self.calls if call.output[0] is table[0]]
        if self.layout is None or not made:
            return None, False
        return Rotation(_rows(table[0]), _rows(table[1]), self.layout, made[0].at), True


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
