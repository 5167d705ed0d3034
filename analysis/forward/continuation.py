"""What follows a context, for many prunings of its cache at once.

The context's keys and values exist once. Every setting is a row of the batch with its own mask over
them, so a sweep costs one prefill and one batched continuation. Keys keep their positions, and the
positions of what follows are passed explicitly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.errors import UnsupportedModelError
from analysis.forward.attention import BLOCK_BYTES
from analysis.forward.interface import own_attention
from analysis.forward.prefix import Prefix
from analysis.models.anatomy import first_tensor, hooks, run_body
from analysis.models.loading import LanguageModel

_NAME = "logitscope_continuation"
_MASKED = -1e30
Observer = Callable[[int, int, slice, Tensor, Tensor], None]
"""Called with layer, KV head, rows of the batch, and their weights on the context (s, heads, m, n) and on
what follows (s, heads, m, m). The tensors are used again afterwards."""


@dataclass(frozen=True, eq=False)
class Turned:
    """A context's keys moved to other positions, for one row of the batch."""

    keys: list[Tensor]
    """Per layer (G, n, d)."""


def run_continuation(
    model: LanguageModel,
    prefix: Prefix,
    ids: Tensor,
    keep: Tensor,
    *,
    positions: Tensor | None = None,
    turned: dict[int, Turned] | None = None,
    observe: Observer | None = None,
    on_layer: Callable[[int], None] = lambda _layer: None,
) -> Tensor:
    """Final states of a continuation under every setting.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    prefix : Prefix
        From :func:`analysis.forward.prefix.read_prefix` of the same model.
    ids : Tensor, int64, shape (m,) or (S, m)
        The continuation; the same for all settings, or one each.
    keep : Tensor of bool, shape (S, L, G, n)
        Context tokens that each setting, layer and KV head still has.
    positions : Tensor, int64, shape (S,), optional
        Position of the first token of the continuation; by default n, the context's full length,
        whatever was pruned.
    turned : dict of int to Turned, optional
        Rows of the batch whose context keys stand at other positions.
    observe : callable, optional
        Sees the attention weights.
    on_layer : callable
        Called with the number of finished layers. Raising from it stops the pass.

    Returns
    -------
    Tensor, shape (S, m, D)
        After the final norm: row t predicts token t + 1 of the continuation.
    """
    anatomy = model.anatomy
    device = anatomy.head.weight.device
    n_settings, m = keep.shape[0], ids.shape[-1]
    start = torch.full((n_settings,), prefix.n_tokens) if positions is None else positions
    places = (start[:, None] + torch.arange(m)).to(device)
    state = _State(prefix, keep.to(device), turned or {}, observe)
    caught: dict[str, Tensor] = {}

    def final(_module: nn.Module, _args: Any, output: Any) -> None:
        caught["final"] = first_tensor(output)

    with hooks() as handles:
        for i, layer in enumerate(anatomy.layers):
            handles.append(layer.register_forward_hook(lambda _m, _a, _o, at=i: on_layer(at + 1)))
        last = anatomy.after_layers[-1] if anatomy.after_layers else anatomy.layers[-1]
        handles.append(last.register_forward_hook(final))
        with own_attention(model.model, _NAME, state.attention):
            run_body(model.model, ids.expand(n_settings, m).to(device), places)
    return caught["final"]


@dataclass(eq=False)
class _State:
    """The batch while its layers run."""

    prefix: Prefix
    keep: Tensor
    turned: dict[int, Turned]
    observe: Observer | None
    layer: int = 0

    def attention(
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
        """The attention interface of transformers: (S, H, m, d) in, (S, m, H, d) out."""
        if attention_mask is not None or query.shape[2] != key.shape[2]:
            raise UnsupportedModelError(
                f"{type(module).__name__} asked for an attention mask of its own.",
                "Its cache cannot be pruned here.",
            )
        scale = scaling if scaling is not None else query.shape[-1] ** -0.5
        n_groups = key.shape[1]
        per_group = query.shape[1] // n_groups
        out = torch.empty(*query.shape[:3], value.shape[-1], dtype=query.dtype, device=query.device)
        for group in range(n_groups):
            heads = slice(group * per_group, (group + 1) * per_group)
            for rows in self._blocks(len(query), per_group, query.shape[2]):
                sinks = None if s_aux is None else s_aux[heads][None, :, None, None].float()
                out[rows, heads] = self._attend(
                    group,
                    rows,
                    query[rows, heads].float() * scale,
                    key[rows, group].float(),
                    value[rows, group].float(),
                    softcap,
                    sliding_window,
                    sinks,
                ).to(out.dtype)
        self.layer += 1
        return out.transpose(1, 2).contiguous(), None

    def _blocks(self, n_settings: int, per_group: int, m: int) -> list[slice]:
        """Rows of the batch whose scores fill one block; a row with turned keys stands alone."""
        row = 4 * per_group * m * (self.prefix.n_tokens + m)
        size = max(1, BLOCK_BYTES // row)
        blocks, begin = [], 0
        while begin < n_settings:
            end = begin + 1
            while (
                end < n_settings
                and end - begin < size
                and begin not in self.turned
                and end not in self.turned
            ):
                end += 1
            blocks.append(slice(begin, end))
            begin = end
        return blocks

    def _attend(
        self,
        group: int,
        rows: slice,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        softcap: float | None,
        window: int | None,
        sinks: Tensor | None,
    ) -> Tensor:
        """Attend from (s, heads, m, d) to the context that is kept and to what came before each token."""
        s, heads, m, width = query.shape
        n, layer = self.prefix.n_tokens, self.layer
        moved = self.turned.get(rows.start)
        before = (self.prefix.keys if moved is None else moved.keys)[layer][group]
        old = (query.reshape(-1, width) @ before.T).view(s, heads, m, n)
        new = query @ key[:, None].transpose(-1, -2)
        if softcap is not None:
            old.div_(softcap).tanh_().mul_(softcap)
            new.div_(softcap).tanh_().mul_(softcap)
        old.masked_fill_(~self.keep[rows, layer, group][:, None, None], _MASKED)
        i = torch.arange(m, device=query.device)
        future = i[None, :] > i[:, None]
        if window is not None:
            future = future | (i[:, None] - i[None, :] >= window)
            too_far = n + i[:, None] - torch.arange(n, device=query.device)[None, :] >= window
            old.masked_fill_(too_far, _MASKED)
        new.masked_fill_(future, _MASKED)
        top = torch.maximum(old.amax(-1, keepdim=True), new.amax(-1, keepdim=True))
        if sinks is not None:
            top = torch.maximum(top, sinks)
        old.sub_(top).exp_()
        new.sub_(top).exp_()
        total = old.sum(-1, keepdim=True) + new.sum(-1, keepdim=True)
        if sinks is not None:
            total = total + (sinks - top).exp()
        mixed = (old.view(-1, n) @ self.prefix.values[layer][group]).view(s, heads, m, -1)
        mixed += new @ value[:, None]
        if self.observe is not None:
            self.observe(layer, group, rows, old.div_(total), new.div_(total))
        return mixed / total


class ContextAttention:
    """Attention that the first row of a batch pays to every context token; an :data:`Observer`."""

    def __init__(self, prefix: Prefix) -> None:
        self._sums = torch.zeros(
            len(prefix.keys), prefix.keys[0].shape[0], prefix.n_tokens, dtype=torch.float64
        )
        self._heads = 1

    def __call__(self, layer: int, group: int, rows: slice, old: Tensor, _new: Tensor) -> None:
        """Add one layer and KV head."""
        if rows.start == 0:
            self._heads = old.shape[1]
            self._sums[layer, group] = old[0].double().sum((0, 1)).cpu()

    def received(self, m: int) -> np.ndarray:
        """Mean over m queries and the heads of the group, float64, (L, G, n)."""
        return (self._sums / (m * self._heads)).numpy()
