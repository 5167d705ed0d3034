"""Attention that measures: the layer's true output and every statistic of its map, in one pass.

A block of query rows of the attention matrix exists, gives the output, the entropy of its
rows and its share of every column sum, and is gone. Memory grows with T. Masks, windows,
soft-capped scores, learned sink logits and any head size go the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.attention_sinks.results import AttentionTrace
from analysis.errors import UnsupportedModelError
from analysis.forward.masks import Visibility, blocked

NAME = "logitscope_measured"
BLOCK_BYTES = 4 << 20
"""Scores of one block; small enough to stay in a CPU's cache while they are reduced."""
_CUDA_BLOCK_BYTES = 256 << 20
_MASKED = -1e30
"""Score of a pair that is not seen: exp() of it is 0, and 0 times it is 0, not NaN."""


@dataclass(frozen=True, eq=False)
class Attended:
    """One layer's attention, reduced."""

    output: Tensor
    """(H, T, d), in the precision of the queries."""
    entropy: Tensor
    """(H, T), nats: over the tokens seen, renormalised where a learned sink takes a share."""
    columns: Tensor
    """float64, (H, w, T): ``P^T W``, the column sums weighted by each of the w weightings."""
    first_key: Tensor
    """(H, T): weight of each query on key 0."""
    mass: Tensor
    """(H, T): weight of each query on all tokens; 1 without a learned sink."""
    row_error: float
    """Largest difference of a checked row's sum from its mass."""


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    softcap: float | None = None,
    window: int | None = None,
    sink_logits: Tensor | None = None,
    weightings: Tensor | None = None,
    visibility: Visibility | None = None,
    layer: int = 0,
) -> Attended:
    """Causal attention of one layer with its statistics.

    Parameters
    ----------
    query : Tensor, shape (H, T, d)
        Query heads; head h uses KV head ``h // (H / G)``.
    key, value : Tensor, shape (G, T, d) and (G, T, dv)
        KV heads.
    scale : float
        Factor on the scores.
    softcap : float, optional
        ``c tanh(x / c)`` on the scaled scores (Gemma 2).
    window : int, optional
        Tokens a query can see, itself included.
    sink_logits : Tensor, shape (H,), optional
        Learned logit beside the scores of every row (gpt-oss).
    weightings : Tensor, shape (T, w), optional
        Weight of each query in the column sums; one weighting of ones by default.
    visibility : Visibility, optional
        Keys hidden and heads silenced on top of the model's own mask.
    layer : int
        For the visibility.

    Notes
    -----
    With scores s, m their row maximum and ``t = sum_j exp(s_j - m)``: row entropy is
    ``ln t - sum_j exp(s_j - m) (s_j - m) / t``; all in float32, column sums in float64.
    """
    n_heads, n_tokens, _ = query.shape
    per_group = n_heads // key.shape[0]
    device = query.device
    if weightings is None:
        weightings = torch.ones(n_tokens, 1, device=device)
    out = Attended(
        output=torch.empty(n_heads, n_tokens, value.shape[-1], dtype=query.dtype, device=device),
        entropy=torch.empty(n_heads, n_tokens, device=device),
        columns=torch.zeros(n_heads, weightings.shape[1], n_tokens, dtype=torch.float64, device=device),
        first_key=torch.zeros(n_heads, n_tokens, device=device),
        mass=torch.ones(n_heads, n_tokens, device=device),
        row_error=0.0,
    )
    budget = BLOCK_BYTES if device.type == "cpu" else _CUDA_BLOCK_BYTES
    size = max(16, min(256, budget // (4 * per_group * n_tokens)))
    worst = 0.0
    for group in range(key.shape[0]):
        heads = slice(group * per_group, (group + 1) * per_group)
        hidden = visibility.hidden_keys(layer, group) if visibility else None
        block = _Group(query[heads], key[group].float(), value[group].float(), scale, softcap, hidden)
        sinks = None if sink_logits is None else sink_logits[heads, None, None].float()
        for begin in range(0, n_tokens, size):
            rows = range(begin, min(begin + size, n_tokens))
            first = 0 if window is None else max(0, begin - window + 1)
            error = block.reduce(
                rows, range(first, rows.stop), window, visibility, sinks, weightings, out, heads
            )
            worst = max(worst, error)
    for head in visibility.heads_silenced(layer) if visibility else []:
        out.output[head] = 0
    return Attended(out.output, out.entropy, out.columns, out.first_key, out.mass, worst)


@dataclass(frozen=True, eq=False)
class _Group:
    """The query heads of one KV head."""

    query: Tensor
    key: Tensor
    value: Tensor
    scale: float
    softcap: float | None
    hidden: Any

    def scores(self, rows: range, keys: range, window: int | None, visibility: Visibility | None) -> Tensor:
        """Masked scores, (heads, rows, keys)."""
        query = self.query[:, rows.start : rows.stop].float() * self.scale
        flat = query.reshape(-1, query.shape[-1]) @ self.key[keys.start : keys.stop].T
        scores = flat.view(len(query), len(rows), len(keys))
        if self.softcap is not None:
            scores.div_(self.softcap).tanh_().mul_(self.softcap)
        general = visibility is not None and (visibility.window is not None or self.hidden is not None)
        if general or (window is not None and len(keys) > window):
            hide = blocked(
                rows, keys, window=window, ours=visibility, hidden=self.hidden, device=scores.device
            )
            return scores.masked_fill_(hide, _MASKED)
        corner = scores[:, :, rows.start - keys.start :]  # only the diagonal block hides anything
        n = len(rows)
        corner.masked_fill_(torch.ones(n, n, dtype=torch.bool, device=scores.device).triu_(1), _MASKED)
        return scores

    def reduce(
        self,
        rows: range,
        keys: range,
        window: int | None,
        visibility: Visibility | None,
        sinks: Tensor | None,
        weightings: Tensor,
        out: Attended,
        heads: slice,
    ) -> float:
        """Write one block's share of every result; returns the error of its last row's sum."""
        scores = self.scores(rows, keys, window, visibility)
        top = scores.amax(-1, keepdim=True)
        if sinks is not None:
            top = torch.maximum(top, sinks)
        scores.sub_(top)
        weights = scores.exp()
        total = weights.sum(-1, keepdim=True)
        here = slice(rows.start, rows.stop)
        out.entropy[heads, here] = total.log()[..., 0] - torch.linalg.vecdot(weights, scores) / total[..., 0]
        whole = total if sinks is None else total + (sinks - top).exp()
        share = whole.reciprocal()
        out.mass[heads, here] = (total * share)[..., 0]
        by_query = (share * weightings[here]).transpose(1, 2)
        out.columns[heads, :, keys.start : keys.stop] += by_query @ weights
        if keys.start == 0:
            out.first_key[heads, here] = weights[..., 0] * share[..., 0]
        mixed = weights.view(-1, len(keys)) @ self.value[keys.start : keys.stop]
        out.output[heads, here] = (mixed.view(len(weights), len(rows), -1) * share).to(out.output.dtype)
        last = (weights[:, -1] * share[:, -1]).double().sum(-1)
        return float((last - out.mass[heads, rows.stop - 1]).abs().max())


class Recorder:
    """Takes what every layer's attention measures, in the order in which layers run.

    What is kept of a layer lies in arrays for all layers, made with the first: a run that set
    aside a little after every layer would scatter it between the large blocks of the next ones.
    """

    def __init__(self, n_layers: int, visibility: Visibility | None = None) -> None:
        self.n_layers = n_layers
        self.visibility = visibility
        self.layers: list[dict[str, Any]] = []
        """Of each layer, views into the arrays and plain numbers."""
        self.row_error = 0.0
        self._kept: dict[str, np.ndarray] = {}

    def result(self) -> AttentionTrace:
        """All layers together.

        Raises
        ------
        UnsupportedModelError
            If not every layer's attention came by.
        """
        if len(self.layers) != self.n_layers:
            raise UnsupportedModelError(
                f"{len(self.layers)} of {self.n_layers} layers use transformers' attention interface.",
                "This model's attention cannot be measured.",
            )
        kept = dict(self._kept)
        sinks = kept.pop("learned_sink")
        has_sinks = all(layer["learned_sink"] is not None for layer in self.layers)
        return AttentionTrace(learned_sink=sinks if has_sinks else None, **kept)

    def take(self, attended: Attended, key: Tensor, value: Tensor, window: int | None, sinks: bool) -> None:
        """Reduce one layer to what a trace keeps."""
        n_tokens = key.shape[1]
        column = attended.columns[:, 0]
        position = torch.arange(n_tokens, device=column.device, dtype=torch.float64)
        seen_by = (n_tokens - position).clamp(max=window or n_tokens)
        later = slice(1, None) if n_tokens > 1 else slice(0, None)
        mass = attended.mass[:, later].double()
        # sum over queries and keys of p (i - j), from the row masses and the column sums alone
        looked_back = (attended.mass.double() * position).sum(-1) - (column * position).sum(-1)
        visible = (position[later] + 1).clamp(max=window or n_tokens)
        sees_first = position[later] < (window or n_tokens)
        measured = {
            "entropy": attended.entropy,
            "received": column / seen_by,
            "sink_mass": attended.first_key[:, later].double().mean(-1),
            "sink_baseline": (sees_first / visible).mean(),
            "distance": looked_back / mass.sum(-1),
            "value_norm": torch.linalg.vector_norm(value, dim=-1, dtype=torch.float32),
            "key_norm": torch.linalg.vector_norm(key, dim=-1, dtype=torch.float32),
            "window": torch.tensor(window or 0),
            "learned_sink": (1 - mass).mean(-1),
        }
        layer = self._store(measured)
        self.layers.append(layer if sinks else layer | {"learned_sink": None})
        self.row_error = max(self.row_error, attended.row_error)

    def _store(self, measured: dict[str, Tensor]) -> dict[str, Any]:
        """Copy one layer's numbers into the arrays of all layers; views of them."""
        if not self._kept:
            self._kept = {
                name: np.zeros((self.n_layers, *x.shape), np.int32 if name == "window" else np.float32)
                for name, x in measured.items()
            }
        index = len(self.layers)
        if index >= self.n_layers:
            return {"learned_sink": None}  # more calls than layers: `result` says so
        for name, x in measured.items():
            if x.shape != self._kept[name].shape[1:]:
                raise UnsupportedModelError(
                    "The layers of this model have different numbers of attention heads.",
                    "Its attention cannot be measured.",
                )
            self._kept[name][index] = x.cpu().numpy()
        return {name: array[index] for name, array in self._kept.items()}


_RECORDER: ContextVar[Recorder] = ContextVar("recorder")


def _measured_attention(
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
    recorder = _RECORDER.get()
    if attention_mask is not None or query.shape[0] != 1 or query.shape[2] != key.shape[2]:
        raise UnsupportedModelError(
            f"{type(module).__name__} asked for an attention mask of its own.",
            "Attention is measured on one unpadded text at a time.",
        )
    attended = attend(
        query[0],
        key[0],
        value[0],
        scale=scaling if scaling is not None else query.shape[-1] ** -0.5,
        softcap=softcap,
        window=sliding_window,
        sink_logits=s_aux,
        visibility=recorder.visibility,
        layer=len(recorder.layers),
    )
    recorder.take(attended, key[0], value[0], sliding_window, s_aux is not None)
    return attended.output.transpose(0, 1)[None].contiguous(), None


@contextmanager
def measured_attention(model: Any, recorder: Recorder) -> Iterator[Recorder]:
    """Let a model's attention measure itself; its own implementation comes back afterwards."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _measured_attention)
    configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}
    before = {key: config._attn_implementation for key, config in configs.items()}
    token = _RECORDER.set(recorder)
    try:
        for config in configs.values():
            config._attn_implementation = NAME
        yield recorder
    finally:
        for key, config in configs.items():
            config._attn_implementation = before[key]
        _RECORDER.reset(token)
