"""One head's attention map, on demand, pooled to what a screen can show.

Rows of the map are computed in blocks from one layer's queries and keys and pooled to
cells. Nothing of size T x T is ever there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.attention_sinks.layer_queries import CaughtLayer, catch_layer
from analysis.attention_sinks.summary import most_rows
from analysis.forward.attention import HeadGroup, block_bytes
from analysis.forward.visibility import AttentionSpan, Visibility
from analysis.models.loading import LanguageModel
from analysis.progress import Progress, silent
from analysis.results.trace import Trace

Pool = Literal["max", "mean"]

_UNSEEN = -1e29
"""Scores below this belong to pairs that are not seen."""


@dataclass(frozen=True, eq=False)
class HeadMap:
    """Attention of one head, pooled to cells; row is the query, column the key."""

    values: np.ndarray
    """float32, (n_rows, n_keys), in [0, 1]; NaN where no pair of the cell can be seen."""
    row_edges: np.ndarray
    """int64, (n_rows + 1,): cell r holds queries ``row_edges[r]`` to ``row_edges[r + 1] - 1``."""
    key_edges: np.ndarray
    """int64, (n_keys + 1,): the same for keys."""
    layer: int
    head: int
    pool: Pool
    """How the pairs of a cell were made one number: the largest, or the mean with 0 for unseen ones."""
    row_sum_error: float
    """Largest difference of a row's sum over all keys from 1, or from 1 minus its learned sink."""
    entropy_error: float
    """Largest difference of a row's entropy from the run's, nats: it is the same head of the same run."""
    note: str
    """Why the rows drawn do not sum to 1; empty where they do."""

    @property
    def pooled(self) -> bool:
        """Whether a cell can hold more than one pair."""
        return bool((np.diff(self.row_edges) > 1).any() or (np.diff(self.key_edges) > 1).any())

    @property
    def largest(self) -> float:
        """Largest weight of any cell."""
        return float(np.nanmax(self.values))

    def to_frame(self) -> pd.DataFrame:
        """One row per cell that can be seen: its first ``query`` and ``key``, and ``weight``."""
        rows, keys = np.meshgrid(self.row_edges[:-1], self.key_edges[:-1], indexing="ij")
        weight = self.values.ravel().astype(float)
        frame = pd.DataFrame({"query": rows.ravel(), "key": keys.ravel(), "weight": weight})
        return frame[frame["weight"].notna()]


def head_map_block(
    model: LanguageModel,
    trace: Trace,
    layer: int,
    head: int,
    *,
    rows: range | None = None,
    keys: range | None = None,
    size: int = 512,
    pool: Pool = "max",
    visibility: Visibility | None = None,
    on_progress: Progress | None = None,
) -> HeadMap:
    """Attention map of one head, or a block of it, in at most ``size x size`` cells.

    Parameters
    ----------
    model : LanguageModel
        The one that made the run.
    trace : Trace
        A run that measured attention.
    layer, head : int
        Query head ``head`` of layer ``layer``, both from 0.
    rows, keys : range, optional
        Queries and keys to draw, everything by default. A block of at most ``size``
        queries and keys is drawn pair by pair.
    size : int, default 512
        Most rows and columns of cells.
    pool : {"max", "mean"}
        What a cell of several pairs shows: the largest weight, so that no thin line is
        lost, or the mean, which keeps the row sums.
    visibility : Visibility, optional
        What the run hid; required when it hid something.
    on_progress : callable, optional
        ``on_progress(share, what)``. Raising from it stops the pass.

    Returns
    -------
    HeadMap

    Raises
    ------
    AnalysisError
        If the run is not this model's or measured no attention.
    ValueError
        If the head or the block does not exist.

    Notes
    -----
    Costs one pass up to the layer. To look at several heads or blocks of one layer, keep
    :func:`catch_layer` and call :func:`map_of`.
    """
    report = on_progress or silent
    _require_head(trace, head)
    caught = catch_layer(
        model, trace, layer, visibility=visibility, on_progress=lambda done, what: report(0.9 * done, what)
    )
    found = map_of(caught, trace, head, rows=rows, keys=keys, size=size, pool=pool)
    report(1.0, "done")
    return found


def layer_maps(
    model: LanguageModel,
    trace: Trace,
    layer: int,
    *,
    part: range | None = None,
    size: int | None = None,
    pool: Pool = "max",
    on_progress: Progress | None = None,
) -> tuple[HeadMap, ...]:
    """The maps of all query heads of a layer, after one pass up to it.

    Parameters
    ----------
    part : range, optional
        Queries and keys to draw, everything by default.
    size : int, optional
        Most rows and columns of cells; :func:`~.summary.most_rows` by default.
    model, trace, layer, pool, on_progress
        As for :func:`head_map_block`, and the same errors.
    """
    report = on_progress or silent
    caught = catch_layer(model, trace, layer, on_progress=lambda done, what: report(0.9 * done, what))
    n_heads = len(caught.query)
    size = size or most_rows(n_heads)
    maps = []
    for head in range(n_heads):
        report(0.9 + 0.1 * head / n_heads, "maps of the heads")
        maps.append(map_of(caught, trace, head, rows=part, keys=part, size=size, pool=pool))
    report(1.0, "done")
    return tuple(maps)


def _require_head(trace: Trace, head: int) -> None:
    if trace.attention is not None and not 0 <= head < trace.attention.n_heads:
        raise ValueError(f"heads go from 0 to {trace.attention.n_heads - 1}, got {head}")


@torch.inference_mode()
def map_of(
    caught: CaughtLayer,
    trace: Trace,
    head: int,
    *,
    rows: range | None = None,
    keys: range | None = None,
    size: int = 512,
    pool: Pool = "max",
) -> HeadMap:
    """Map of one head of a caught layer; parameters and errors as :func:`head_map_block`."""
    n_heads, n_tokens, _ = caught.query.shape
    rows, keys = _stretch(rows, n_tokens, "rows"), _stretch(keys, n_tokens, "keys")
    if size < 1 or pool not in ("max", "mean"):
        raise ValueError(f"size counts cells and pool is max or mean, got {size} and {pool!r}")
    _require_head(trace, head)
    row_step, key_step = -(-len(rows) // size), -(-len(keys) // size)
    kv_head = head // (n_heads // caught.key.shape[0])
    hidden = caught.visibility.hidden_keys(caught.layer, kv_head) if caught.visibility else None
    key = caught.key[kv_head].float()
    group = HeadGroup(caught.query[head : head + 1], key, key, caught.scale, caught.softcap, hidden)
    sink = None if caught.sink_logits is None else caught.sink_logits[head].float()
    per_block = max(1, block_bytes(key.device) // (4 * rows.stop * row_step)) * row_step
    cells, row_error, entropy, lost = [], 0.0, [], []
    for begin in range(rows.start, rows.stop, per_block):
        block = range(begin, min(begin + per_block, rows.stop))
        seen_keys = range(caught.span.first_key(begin), block.stop)
        scores = group.scores(block, seen_keys, caught.span, caught.visibility)[0]
        seen = scores > _UNSEEN
        weights, mass = _weights(scores, sink)
        row_error = max(row_error, float((weights.double().sum(-1) - mass).abs().max()))
        entropy.append(torch.special.entr(weights / mass[:, None]).sum(-1))
        lost.append(1 - mass)
        cells.append(_pooled(weights, seen, seen_keys, keys, (row_step, key_step), pool))
    assert trace.attention is not None
    of_run = trace.attention.entropy[trace.attention.row_of(caught.layer), head, rows.start : rows.stop]
    learned = None if sink is None else float(torch.cat(lost).mean())
    return HeadMap(
        values=torch.cat(cells).cpu().numpy(),
        row_edges=np.array([*rows[::row_step], rows.stop]),
        key_edges=np.array([*keys[::key_step], keys.stop]),
        layer=caught.layer,
        head=head,
        pool=pool,
        row_sum_error=row_error,
        entropy_error=float(np.abs(torch.cat(entropy).cpu().numpy() - of_run).max()),
        note=_note(rows, keys, (row_step, key_step), pool, caught.span, learned),
    )


def _stretch(part: range | None, n_tokens: int, name: str) -> range:
    """The part asked for, or everything."""
    if part is None:
        return range(n_tokens)
    if part.step != 1 or not 0 <= part.start < part.stop <= n_tokens:
        raise ValueError(f"{name} {part.start} to {part.stop} are not a stretch of {n_tokens} tokens")
    return part


def _weights(scores: Tensor, sink: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights of each row, (rows, keys), and what they sum to, float32, (rows,)."""
    top = scores.amax(-1, keepdim=True)
    if sink is not None:
        top = torch.maximum(top, sink)
    weights = (scores - top).exp_()
    total = weights.sum(-1, keepdim=True)
    whole = total if sink is None else total + (sink - top).exp()
    return weights.div_(whole), (total / whole)[:, 0]


def _pooled(
    weights: Tensor, seen: Tensor, seen_keys: range, keys: range, steps: tuple[int, int], pool: Pool
) -> Tensor:
    """Cells of a block of rows, (cells down, cells across); NaN where nothing can be seen."""
    first, last = max(keys.start, seen_keys.start), min(keys.stop, seen_keys.stop)
    n_rows, (down, across) = len(weights), steps
    high, wide = -(-n_rows // down), -(-len(keys) // across)
    canvas = torch.full((high * down, wide * across), -1.0, device=weights.device)
    if first < last:
        source = slice(first - seen_keys.start, last - seen_keys.start)
        shown = torch.where(seen[:, source], weights[:, source], -1.0)
        canvas[:n_rows, first - keys.start : last - keys.start] = shown
    cells = canvas.view(high, down, wide, across)
    largest = cells.amax((1, 3))
    if pool == "max" or down == across == 1:
        return largest.masked_fill(largest < 0, torch.nan)
    rows_of = torch.full((high, 1), float(down), device=weights.device)
    rows_of[-1] = n_rows - (high - 1) * down
    keys_of = torch.full((1, wide), float(across), device=weights.device)
    keys_of[0, -1] = len(keys) - (wide - 1) * across
    mean = cells.clamp(min=0).sum((1, 3)) / (rows_of * keys_of)
    return mean.masked_fill(largest < 0, torch.nan)


def _note(
    rows: range, keys: range, steps: tuple[int, int], pool: Pool, span: AttentionSpan, learned: float | None
) -> str:
    """Why the rows drawn do not sum to 1; empty where they do."""
    down, across = steps
    parts = []
    if learned is not None:
        parts.append(f"a learned sink takes {learned:.3g} of a row on average")
    if keys.start > span.first_key(rows.start) or keys.stop < rows.stop:
        parts.append(f"only keys {keys.start} to {keys.stop - 1} are drawn")
    if down > 1 or across > 1:
        cell = f"{down} by {across} pairs"
        if pool == "max":
            parts.append(f"a cell is the largest of {cell}")
        else:
            parts.append(f"a cell is the mean of {cell}, unseen ones as 0")
    return "; ".join(parts)
