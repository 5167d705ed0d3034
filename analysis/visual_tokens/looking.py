"""Where the rows after an image look: attention taken row by row while a model reads and writes.

The pass attends by the library's own fused function; only the rows that are asked for are computed beside it, from
the same queries, keys and mask, and are reduced to numbers at once. No map of tokens by tokens is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UnsupportedModelError
from analysis.forward.attention_adapter import AttentionCall
from analysis.models.library_parts import fused_attention
from analysis.results.trace import Check
from analysis.visual_tokens.measures import modality_balance
from analysis.visual_tokens.results import QUESTION_ROWS, SINK_FACTOR, Looking

BLOCK_BYTES = 8 << 20
"""Of a block of rows of weights, float32; three exist at a time."""
KEPT_BYTES = 64 << 20
"""Of the weights of single heads that are kept."""
_ROW_SUM, _OUTPUT = 1e-5, 1e-4
"""Most that rows may differ from 1, and what they make of the values from the layer's output, relative."""
_HALF = 2e-2
"""The same for an output in 16 bits."""


@dataclass(frozen=True, eq=False)
class Places:
    """Positions of a prompt of S tokens, each (n,) of int64 on the CPU."""

    visual: Tensor
    """Visual tokens with a place on the picture, N."""
    newlines: Tensor
    text: Tensor
    n_prompt: int

    @property
    def after(self) -> int:
        """First position after the image."""
        return int(torch.cat([self.visual, self.newlines]).max()) + 1


@dataclass(eq=False)
class _Layer:
    """What was seen in one layer so far."""

    read: int = 0
    """Tokens."""
    rows: int = 0
    """Rows after the image."""
    received: np.ndarray | float = 0.0
    """(N,): sum over those rows of the mean over heads."""
    over: np.ndarray | int = 0
    """(N,): rows that spent more than so many even shares on a token."""
    written: list[dict[str, np.ndarray]] = field(default_factory=list)
    """Numbers of each row that predicted a written token."""


class LookingRecorder:
    """Attends for a model, and keeps what the rows after the image say.

    Parameters
    ----------
    places : Places
    n_layers : int
    """

    def __init__(self, places: Places, n_layers: int) -> None:
        self._places = places
        self._layers = [_Layer() for _ in range(n_layers)]
        self._heads: list[list[np.ndarray]] | None = [[] for _ in range(n_layers)]
        self._kept = 0
        self._sum_error = self._output_error = 0.0
        self._wide = True

    def attend(self, call: AttentionCall) -> Tensor:
        """The layer's output by the library's function, (1, H, m, dv)."""
        if call.softcap is not None or call.sink_logits is not None or call.query.shape[0] != 1:
            raise UnsupportedModelError(
                f"{type(call.module).__name__} attends with a soft cap, a learned sink, or several texts at once.",
                "Where it looks cannot be measured.",
            )
        output: Tensor = fused_attention()(
            call.module,
            call.query,
            call.key,
            call.value,
            call.mask,
            scaling=call.scale,
            is_causal=call.keywords.get("is_causal"),
        )[0].transpose(1, 2)
        here, m = self._layers[call.layer], call.query.shape[2]
        count = 1
        if not here.read:
            count = max(1, min(QUESTION_ROWS, m - self._places.after))
        here.read += m
        n_heads, n_keys = call.query.shape[1], call.key.shape[2]
        block = max(1, BLOCK_BYTES // (4 * n_heads * n_keys))
        for start in range(m - count, m, block):
            rows = slice(start, min(start + block, m))
            weights, visible = row_weights(call, rows)
            self._see(here, call, weights, visible, output[0, :, rows], last=rows.stop == m)
        return output

    def _see(
        self,
        here: _Layer,
        call: AttentionCall,
        weights: Tensor,
        visible: Tensor,
        output: Tensor,
        *,
        last: bool,
    ) -> None:
        """Reduce rows (H, r, keys) whose last key is the newest token read."""
        n_keys = weights.shape[-1]
        first = here.read - n_keys
        values = call.value[0].to(weights.dtype).repeat_interleave(len(weights) // call.value.shape[1], 0)
        made = weights[:, -1:] @ values
        near = output[:, -1:].to(weights.dtype)
        scale = float(near.abs().max().clamp(min=torch.finfo(torch.float32).tiny))
        self._output_error = max(self._output_error, float((made - near).abs().max()) / scale)
        self._sum_error = max(self._sum_error, float((weights.sum(-1) - 1).abs().max()))
        self._wide &= output.dtype in (torch.float32, torch.float64)
        on_visual = _columns(weights, self._places.visual, first)
        share = on_visual / on_visual.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        n = on_visual.shape[-1]
        here.rows += weights.shape[1]
        here.received = here.received + on_visual.mean(0).sum(0).cpu().numpy()
        here.over = here.over + (share.mean(0) > SINK_FACTOR / n).sum(0).cpu().numpy()
        if last:
            row = weights[:, -1].cpu()
            looked, shares = on_visual[:, -1].cpu(), share[:, -1].cpu()
            here.written.append(_numbers(row, looked, shares, visible[-1].cpu(), self._places, first))
            self._keep(call.layer, looked.float().numpy())

    def _keep(self, layer: int, heads: np.ndarray) -> None:
        """Keep single heads, (H, N), while there is room."""
        if self._heads is None:
            return
        self._kept += heads.nbytes
        self._heads[layer].append(heads)
        if self._kept > KEPT_BYTES:
            self._heads = None

    def looking(self, n_written: int) -> Looking:
        """What the rows of the first so many written tokens say; each layer has seen at least as many."""

        def table(name: str, kind: type[np.floating] = np.float32) -> np.ndarray:
            rows = [[row[name] for row in layer.written[:n_written]] for layer in self._layers]
            return np.asarray(rows).swapaxes(0, 1).astype(kind)

        names = ("mean", "share_visual", "share_newlines", "share_first", "entropy")
        balance = ("mdi", "aei", "mdi_without_first", "aei_without_first")
        heads = self._heads
        return Looking(
            **{name: table(name) for name in names},
            **{name: table(name, np.float64) for name in balance},
            attention=None
            if heads is None
            else np.stack([np.stack(rows[:n_written]) for rows in heads]).swapaxes(0, 1),
            received=np.stack([layer.received / layer.rows for layer in self._layers]).astype(np.float32),
            attended=np.stack([2 * layer.over >= layer.rows for layer in self._layers]),
        )

    def checks(self) -> list[Check]:
        """Rows sum to 1, and with the values make what the layer handed on."""
        return [
            Check("rows of attention sum to 1", self._sum_error, _ROW_SUM, "share"),
            Check(
                "rows of attention times the values are the layers' own outputs",
                self._output_error,
                _OUTPUT if self._wide else _HALF,
                "of the largest",
            ),
        ]


def row_weights(call: AttentionCall, rows: slice) -> tuple[Tensor, Tensor]:
    """Attention weights of some queries under the mask of the library's fused attention.

    Parameters
    ----------
    call : AttentionCall
        Of one text.
    rows : slice
        Queries among those of this call.

    Returns
    -------
    weights : Tensor, shape (H, r, keys)
        float32, or float64 where the queries are.
    visible : Tensor of bool, shape (r, keys)
        Keys that the mask leaves to each row; of the first head where heads differ.
    """
    query, key = call.query[0][:, rows], call.key[0]
    n_queries, n_keys = call.query.shape[2], key.shape[1]
    work = torch.float64 if query.dtype == torch.float64 else torch.float32
    n_groups, r = key.shape[0], query.shape[1]
    grouped = (query.to(work) * call.scale).reshape(n_groups, -1, query.shape[-1])
    scores = (grouped @ key.to(work).mT).view(-1, r, n_keys)
    mask = call.mask
    if mask is None:
        visible = torch.ones(r, n_keys, dtype=torch.bool, device=scores.device)
        causal = call.keywords.get("is_causal")
        if n_queries > 1 and (getattr(call.module, "is_causal", True) if causal is None else causal):
            visible = visible.tril(rows.start)  # as torch does it: the first query sees the first key
        return scores.masked_fill_(~visible, float("-inf")).softmax(-1), visible
    seen = mask[0, :, rows, :n_keys]
    if seen.dtype == torch.bool:
        return scores.masked_fill_(~seen, float("-inf")).softmax(-1), seen[0]
    return (scores + seen.to(work)).softmax(-1), seen[0] > torch.finfo(seen.dtype).min / 2


def _columns(weights: Tensor, positions: Tensor, first: int) -> Tensor:
    """Weights on positions, 0 where the keys, which begin at a position, no longer hold one."""
    found = weights.new_zeros(*weights.shape[:-1], len(positions))
    inside = (positions >= first).nonzero()[:, 0]
    found[..., inside.to(weights.device)] = weights[..., (positions[inside] - first).to(weights.device)]
    return found


def _numbers(
    row: Tensor, looked: Tensor, shares: Tensor, visible: Tensor, places: Places, first: int
) -> dict[str, np.ndarray]:
    """What one row says: weights (H, keys), those on the visual tokens (H, N) and their shares."""
    kind = torch.zeros(first + row.shape[-1], dtype=torch.bool)
    newline = kind.clone()
    kind[places.visual], newline[places.newlines] = True, True
    keys = (visible & ~newline[first:]).numpy()
    mean, is_visual = row.mean(0).double().numpy()[None, keys], kind[first:].numpy()[keys]
    starts = first == 0 and bool(keys[0])
    balance = modality_balance(mean, is_visual)
    without = modality_balance(mean, is_visual, without_first=starts)
    found = {
        "mean": looked.mean(0),
        "share_visual": looked.sum(-1),
        "share_newlines": _columns(row, places.newlines, first).sum(-1),
        "share_first": row[:, 0] if first == 0 else torch.zeros(len(row)),
        "entropy": -torch.xlogy(shares, shares).sum(-1),
    }
    numbers = dict(zip(("mdi", "aei"), balance, strict=True))
    numbers |= dict(zip(("mdi_without_first", "aei_without_first"), without, strict=True))
    return {name: value.numpy() for name, value in found.items()} | {
        name: np.float64(value) for name, value in numbers.items()
    }
