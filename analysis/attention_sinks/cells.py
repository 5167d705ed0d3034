"""Attention as maps of cells: layer by head, and query by key of one head. Results in, cells out; no torch."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.attention_sinks.figures import HEAD_QUANTITIES, HeadQuantity, last_value, need_attention
from analysis.attention_sinks.measures import heads_frame
from analysis.drawing.cells import CellAxis, Cells, CellScale
from analysis.drawing.labels import visible
from analysis.drawing.theme import amount_ramp

if TYPE_CHECKING:
    from analysis.attention_sinks.maps import HeadMap
    from analysis.results.trace import Trace

SHARES = ("sink_mass", "strongest", "entropy", "learned_sink", "gate")
"""Quantities of heads that are shares: drawn as percent."""
_LINEAR_END = 99.5
"""Percentile of the cells that the last colour of a linear scale stands for, if that is a tenth of the largest."""


def head_cells(trace: Trace, quantity: HeadQuantity = "sink_mass") -> Cells:
    """One cell per head (row) and layer (column).

    Parameters
    ----------
    trace : Trace
        A run with attention.
    quantity : str
        One of :data:`~.figures.HEAD_QUANTITIES`.
    """
    attention, (column, title) = need_attention(trace), HEAD_QUANTITIES[quantity]
    frame = heads_frame(attention)
    times = 100 if quantity in SHARES else 1
    values = np.full((attention.n_heads, trace.spec.n_layers), np.nan, np.float32)
    values[:, attention.layer_numbers] = (
        times * frame[column].to_numpy().reshape(-1, attention.n_heads).astype(np.float32).T
    )
    return Cells(
        title=title,
        unit="%" if quantity in SHARES else "",
        values=values,
        rows=CellAxis.numbered("head", range(attention.n_heads)),
        columns=CellAxis.numbered("layer", range(trace.spec.n_layers)),
        low=0.0,
        high=times * last_value(frame, quantity),
        light=amount_ramp("attention_sinks", "light"),
        dark=amount_ramp("attention_sinks", "dark"),
        scale="linear",
        missing="no softmax attention",
    )


def map_cells(
    head_map: HeadMap,
    trace: Trace,
    *,
    scale: CellScale = "square root",
    without_first: bool = False,
    contribution: bool = False,
) -> Cells:
    """One cell per query (row) and key (column) of a head.

    Parameters
    ----------
    head_map : HeadMap
        From :func:`analysis.head_map_block`.
    trace : Trace
        The run it was computed from.
    scale : str
        How weights become colours. The last colour of a linear scale is the 99.5th percentile of the cells, at least
        a tenth of the largest; of the others it is the largest.
    without_first : bool
        Leave token 0 out; rows are not rescaled.
    contribution : bool
        Weight times the norm of the key's value instead of the weight; for a map whose cells are single pairs.
    """
    rows, keys = head_map.row_edges, head_map.key_edges
    values = 100 * head_map.values.astype(np.float64)
    if contribution:
        values = head_map.values * _value_norms(head_map, trace)[keys[:-1]]
    if without_first and keys[0] == 0:
        values[:, 0] = np.nan
    seen = values[np.isfinite(values)]
    high = float(seen.max()) if seen.size else 0.0
    if scale == "linear" and seen.size:
        high = max(float(np.percentile(seen, _LINEAR_END)), high / 10)
    amount = {"max": "largest weight", "mean": "mean weight"}[head_map.pool] if head_map.pooled else "weight"
    return Cells(
        title="weight × value norm" if contribution else f"{amount} of the query's attention",
        unit="" if contribution else "%",
        values=values.astype(np.float32),
        rows=_tokens("query: token that attends", "query", rows, trace),
        columns=_tokens("key: token attended to", "key", keys, trace),
        low=0.0,
        high=float(np.float32(max(high, 1e-6))),
        light=amount_ramp("attention_sinks", "light"),
        dark=amount_ramp("attention_sinks", "dark"),
        scale=scale,
        missing="not visible, or left out" if without_first else "not visible",
    )


def attended_keys(head_map: HeadMap, trace: Trace, query: int, n: int = 5) -> pd.DataFrame:
    """The keys one query attends to most, most first.

    Parameters
    ----------
    head_map, trace
        As for :func:`map_cells`; the cells of the map are single pairs.
    query : int
        Position of the token that attends.
    n : int
        Keys listed.

    Returns
    -------
    pandas.DataFrame
        ``key`` (position), ``token``, ``weight`` in [0, 1], and ``contribution``: weight times the norm of the key's
        value, a share of the row's sum of these in [0, 1], NaN where no values are known.
    """
    weights = head_map.values[query - head_map.row_edges[0]].astype(np.float64)
    keys = np.arange(head_map.key_edges[0], head_map.key_edges[-1])
    gives = weights * _value_norms(head_map, trace)[keys]
    order = [i for i in np.argsort(-weights, kind="stable")[:n] if weights[i] > 0]  # NaN comes last
    total = np.nansum(gives)
    return pd.DataFrame(
        {
            "key": keys[order],
            "token": [visible(trace.tokens.text[k]) for k in keys[order]],
            "weight": weights[order],
            "contribution": gives[order] / total if total > 0 else np.nan,
        }
    )


def cell_of(edges: np.ndarray, position: int) -> int | None:
    """Which cell of an axis holds a token; None if none does. ``edges`` as in :class:`~.maps.HeadMap`."""
    inside = edges[0] <= position < edges[-1]
    return int(np.searchsorted(edges, position, side="right")) - 1 if inside else None


def _value_norms(head_map: HeadMap, trace: Trace) -> np.ndarray:
    """Norms of the values that a head reads, (T,); NaN where they are not known."""
    attention = need_attention(trace)
    return attention.value_norm[attention.row_of(head_map.layer), attention.kv_head(head_map.head)]


def _tokens(title: str, name: str, edges: np.ndarray, trace: Trace) -> CellAxis:
    """Axis of cells that hold one token each, or several."""
    text, labels, names = trace.tokens.text, [], []
    for first, end in pairwise(edges.tolist()):
        labels.append(str(first))
        said = f"{name} {first} “{visible(text[first])}”"
        names.append(said if end - first == 1 else f"{said} to {end - 1} “{visible(text[end - 1])}”")
    return CellAxis(title, tuple(labels), tuple(names))
