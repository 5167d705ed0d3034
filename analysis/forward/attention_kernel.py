"""Attention that measures, as two Triton kernels: what :mod:`analysis.forward.attention` computes, without its blocks.

The first kernel goes along the rows of the map, as the library's fused attention does, and sums the entropy of each
row on the way. The second goes down its columns: it makes every weight again from what the first said of its row.
Nothing of T x T is stored anywhere. Triton comes with torch where torch has CUDA; without it this module cannot be
imported.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from analysis.forward.row_sums import Attended, RowSums
from analysis.forward.visibility import CAUSAL, AttentionSpan
from analysis.units import from_nats

_BITS = from_nats(1.0, "bits")
_MASKED = tl.constexpr(-1e30)
"""Score of a pair that is not seen: 2 to the power of it is 0, and 0 times it is 0, not NaN."""
_CHECKED_ROWS = 8
"""Rows of every head whose sum is taken once more, in float64."""
_LENGTHS = ("n_tokens", "window", "chunk")
"""A kernel is compiled once for all of these."""


@triton.jit
def _scores(rows, keys, i, j, scale, window, chunk, IS_WHOLE: tl.constexpr):
    """Scores of a block in bits; those of pairs that are not seen are replaced unless the whole block is seen."""
    scores = tl.dot(rows, keys) * scale
    if not IS_WHOLE:
        back = i[:, None] - j[None, :]
        seen = (back >= 0) & (back < window) & (i[:, None] // chunk == j[None, :] // chunk)
        scores = tl.where(seen, scores, _MASKED)
    return scores


@triton.jit(do_not_specialize=_LENGTHS)
def _along_rows(
    query, key, value, output, total, spread, top, first, sinks,
    query_head, query_row, key_group, key_row, value_group, value_row, output_head, output_row,
    n_tokens, per_group, scale, window, chunk,
    HAS_SINKS: tl.constexpr, WIDTH: tl.constexpr, VALUE_WIDTH: tl.constexpr,
    PADDED: tl.constexpr, VALUE_PADDED: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    """Output, sums and largest score of some rows of one head."""
    begin = (tl.num_programs(0) - 1 - tl.program_id(0)) * ROWS  # rows that see most begin first
    head = tl.program_id(1).to(tl.int64)
    group = head // per_group
    i = begin + tl.arange(0, ROWS)
    lane, value_lane = tl.arange(0, PADDED), tl.arange(0, VALUE_PADDED)
    seen_lane, seen_value_lane = lane < WIDTH, value_lane < VALUE_WIDTH
    real = i < n_tokens
    rows = tl.load(
        query + head * query_head + i[:, None].to(tl.int64) * query_row + lane[None, :],
        mask=real[:, None] & seen_lane[None, :], other=0.0,
    )  # fmt: skip
    largest = tl.full([ROWS], _MASKED, tl.float32)
    sum_ = tl.zeros([ROWS], tl.float32)
    weighted = tl.zeros([ROWS], tl.float32)
    on_first = tl.full([ROWS], _MASKED, tl.float32)
    mixed = tl.zeros([ROWS, VALUE_PADDED], tl.float32)
    last = tl.minimum(begin + ROWS, n_tokens)
    reach = tl.maximum(begin - window + 1, begin // chunk * chunk)
    start = tl.maximum(reach, 0) // KEYS * KEYS
    # from here on, every row of the block sees every key, up to the diagonal
    edge = tl.maximum(begin + ROWS - window, (begin + ROWS - 1) // chunk * chunk)
    whole_to = tl.maximum(begin // KEYS * KEYS, start)
    whole_from = tl.minimum(tl.maximum((edge + KEYS - 1) // KEYS * KEYS, start), whole_to)
    for part in tl.static_range(3):
        from_key = start if part == 0 else (whole_from if part == 1 else whole_to)
        to_key = whole_from if part == 0 else (whole_to if part == 1 else last)
        for at in range(from_key, to_key, KEYS):
            j = at + tl.arange(0, KEYS)
            known = j < n_tokens
            keys = tl.load(
                key + group * key_group + j[None, :].to(tl.int64) * key_row + lane[:, None],
                mask=known[None, :] & seen_lane[:, None], other=0.0,
            )  # fmt: skip
            scores = _scores(rows, keys, i, j, scale, window, chunk, part == 1)
            higher = tl.maximum(largest, tl.max(scores, 1))
            below = scores - higher[:, None]
            weights = tl.exp2(below)
            fall = largest - higher
            shrink = tl.exp2(fall)
            weighted = shrink * (weighted + sum_ * fall) + tl.sum(weights * below, 1)
            sum_ = shrink * sum_ + tl.sum(weights, 1)
            values = tl.load(
                value + group * value_group + j[:, None].to(tl.int64) * value_row + value_lane[None, :],
                mask=known[:, None] & seen_value_lane[None, :], other=0.0,
            )  # fmt: skip
            mixed = tl.dot(weights.to(values.dtype), values, mixed * shrink[:, None])
            largest = higher
    largest = tl.where(real, largest, 0.0)
    if start == 0:
        of_first = tl.load(key + group * key_group + lane, mask=seen_lane, other=0.0).to(tl.float32)
        on_first = tl.sum(rows.to(tl.float32) * of_first[None, :], 1) * scale
        on_first = tl.where((i < window) & (i < chunk), on_first, _MASKED)
    whole = sum_
    if HAS_SINKS:
        whole = sum_ + tl.exp2(tl.load(sinks + head) - largest)
    place = head * n_tokens + i
    tl.store(total + place, sum_, mask=real)
    tl.store(spread + place, weighted, mask=real)
    tl.store(top + place, largest, mask=real)
    tl.store(first + place, tl.exp2(on_first - largest), mask=real)
    tl.store(
        output + head * output_head + i[:, None].to(tl.int64) * output_row + value_lane[None, :],
        (mixed / whole[:, None]).to(output.dtype.element_ty),
        mask=real[:, None] & seen_value_lane[None, :],
    )


@triton.jit(do_not_specialize=_LENGTHS)
def _down_columns(
    query, key, top, share, columns, columns_head, query_head, query_row, key_group, key_row,
    n_tokens, per_group, scale, window, chunk,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    """Weighted sums of some columns of one head; ``share`` is each query's weight over the total of its row."""
    begin = tl.program_id(0) * KEYS  # keys that most queries see begin first
    head = tl.program_id(1).to(tl.int64)
    group = head // per_group
    j = begin + tl.arange(0, KEYS)
    lane = tl.arange(0, PADDED)
    seen_lane = lane < WIDTH
    known = j < n_tokens
    keys = tl.load(
        key + group * key_group + j[None, :].to(tl.int64) * key_row + lane[:, None],
        mask=known[None, :] & seen_lane[:, None], other=0.0,
    )  # fmt: skip
    sums = tl.zeros([ROWS, KEYS], tl.float32)  # added up when all rows are through: no sum in every step
    start = begin // ROWS * ROWS
    # the last query that sees any of these keys, and the range in which every query sees all of them
    end = tl.minimum(begin + KEYS - 1 + window, ((begin + KEYS - 1) // chunk + 1) * chunk)
    end = tl.minimum(end, n_tokens)
    edge = tl.minimum(begin + window, (begin // chunk + 1) * chunk)
    whole_from = tl.minimum((begin + KEYS - 1 + ROWS - 1) // ROWS * ROWS, end)
    whole_to = tl.maximum(tl.minimum(edge, n_tokens) // ROWS * ROWS, whole_from)
    for part in tl.static_range(3):
        from_row = start if part == 0 else (whole_from if part == 1 else whole_to)
        to_row = whole_from if part == 0 else (whole_to if part == 1 else end)
        for at in range(from_row, to_row, ROWS):
            i = at + tl.arange(0, ROWS)
            real = i < n_tokens
            rows = tl.load(
                query + head * query_head + i[:, None].to(tl.int64) * query_row + lane[None, :],
                mask=real[:, None] & seen_lane[None, :], other=0.0,
            )  # fmt: skip
            largest = tl.load(top + head * n_tokens + i, mask=real, other=0.0)
            here = tl.load(share + head * n_tokens + i, mask=real, other=0.0)
            scores = _scores(rows, keys, i, j, scale, window, chunk, part == 1)
            sums += tl.exp2(scores - largest[:, None]) * here[:, None]
    tl.store(columns + head * columns_head + j, tl.sum(sums.to(tl.float64), 0), mask=known)


def attend_fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    span: AttentionSpan = CAUSAL,
    sink_logits: Tensor | None = None,
    weightings: Tensor | None = None,
) -> Attended:
    """Causal attention of one layer with its statistics; parameters as :func:`analysis.forward.attention.attend`.

    Notes
    -----
    Scores of 16-bit queries and keys are exact products summed in float32, as in blocks. Weights are rounded to the
    precision of the values before they mix these, as the library's fused kernels do; no statistic sees that.
    """
    n_heads, n_tokens, width = query.shape
    query, key, value = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key, value))
    per_group, value_width, device = n_heads // key.shape[0], value.shape[-1], query.device
    sinks = None if sink_logits is None else (sink_logits.float() * _BITS).contiguous()
    if weightings is None:
        weightings = torch.ones(n_tokens, 1, device=device)
    sums = RowSums.of(n_heads, n_tokens, sinks is not None, device)
    top = torch.empty(n_heads, n_tokens, device=device)
    output = torch.empty(n_tokens, n_heads, value_width, dtype=query.dtype, device=device).transpose(0, 1)
    columns = torch.empty(n_heads, weightings.shape[1], n_tokens, dtype=torch.float64, device=device)
    padded, value_padded = (max(16, triton.next_power_of_2(x)) for x in (width, value_width))
    numbers = {"n_tokens": n_tokens, "per_group": per_group, "scale": scale * _BITS}
    numbers |= {"window": span.window or n_tokens, "chunk": span.chunk or n_tokens}
    warps = 4 if max(padded, value_padded) <= 64 else 8
    tile = {"ROWS": 128, "KEYS": 64, "num_warps": warps, "num_stages": 3}
    tile = _fitting(tile, "ROWS", padded, padded + value_padded, device)
    _along_rows[triton.cdiv(n_tokens, tile["ROWS"]), n_heads](
        query, key, value, output, sums.total, sums.spread, top, sums.first, top if sinks is None else sinks,
        *query.stride()[:2], *key.stride()[:2], *value.stride()[:2], *output.stride()[:2],
        **numbers, HAS_SINKS=sinks is not None, WIDTH=width, VALUE_WIDTH=value_width, PADDED=padded,
        VALUE_PADDED=value_padded, **tile,
    )  # fmt: skip
    if sinks is not None:
        torch.add(sums.total, (sinks[:, None] - top).exp2_(), out=sums.whole)
    tile = {"ROWS": 128 if padded <= 128 else 64, "KEYS": 64, "num_warps": 4, "num_stages": 3}
    tile = _fitting(tile, "KEYS", padded, padded, device)
    for number in range(weightings.shape[1]):
        _down_columns[triton.cdiv(n_tokens, tile["KEYS"]), n_heads](
            query, key, top, weightings[:, number] / sums.whole, columns[:, number], columns.stride(0),
            *query.stride()[:2], *key.stride()[:2], **numbers, WIDTH=width, PADDED=padded, **tile,
        )  # fmt: skip
    _check_rows(query, key, scale * _BITS, span, top, sums)
    return sums.attended(output, columns)


def _fitting(
    tile: dict[str, int], held: str, width: int, loaded: int, device: torch.device
) -> dict[str, int]:
    """A tile, made smaller where a multiprocessor has no room for it.

    Parameters
    ----------
    tile : dict
        Rows and keys of a block, warps that share it, and blocks loaded ahead: what was fastest on an H100.
    held : {"ROWS", "KEYS"}
        What stays while blocks of the other are loaded.
    width, loaded : int
        16-bit numbers of one that stays, and of one that is loaded.
    device : torch.device
        Where it is to run.
    """
    if device.type != "cuda":
        return tile
    room = torch.cuda.get_device_properties(device).shared_memory_per_block_optin
    other = "KEYS" if held == "ROWS" else "ROWS"

    def bytes_of(tile: dict[str, int]) -> int:
        return 2 * (tile[held] * width + tile["num_stages"] * tile[other] * loaded)

    while bytes_of(tile) > room and tile["num_stages"] > 1:
        tile = tile | {"num_stages": tile["num_stages"] - 1}
    while bytes_of(tile) > room and tile["ROWS"] > 32:
        tile = tile | {"ROWS": tile["ROWS"] // 2}
    return tile


def _check_rows(
    query: Tensor, key: Tensor, scale: float, span: AttentionSpan, top: Tensor, sums: RowSums
) -> None:
    """Sum some rows once more, in float64, from scores of their own; written into ``sums.checked``."""
    n_heads, n_tokens, width = query.shape
    groups, device = len(key), query.device
    i = torch.linspace(0, n_tokens - 1, min(n_tokens, _CHECKED_ROWS), device=device).round().long()
    rows = query[:, i].reshape(groups, -1, width).float()
    scores = (rows @ key.float().transpose(1, 2)).view(n_heads, len(i), n_tokens) * scale
    hidden = span.hides(i[:, None], torch.arange(n_tokens, device=device))
    weights = torch.exp2(scores - top[:, i, None]).masked_fill_(hidden, 0)
    found = weights.sum(-1, dtype=torch.float64)
    sums.checked[:, i] = found.clamp_(min=torch.finfo(torch.float64).tiny)  # 0 means not checked
