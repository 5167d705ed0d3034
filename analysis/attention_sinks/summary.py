"""The numbers of one run's sinks: of the whole run, of one token, of the head that leans most on token 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.attention_sinks.measures import (
    SINK_EPSILON,
    against_baseline,
    sink_rate,
    strongest_sink,
    triad,
)
from analysis.results.attention import AttentionTrace

if TYPE_CHECKING:
    from analysis.results.trace import Trace

_MOST_ROWS = 384
"""Cells per side on a screen."""
_MOST_CELLS = 4_000_000
"""Cells of all maps of a layer."""


@dataclass(frozen=True)
class SinkNumbers:
    """A run's sinks in five numbers."""

    on_first: float
    """Attention on token 0 in [0, 1], mean over heads and over the queries after it."""
    uniform: float
    """The same for attention without any preference."""
    times_uniform: float
    """Mean over heads of the quotient of both."""
    rate: float
    """Share of heads that have a sink at token 0; NaN if too few queries can see it."""
    strongest: int
    """Where the largest mean attention of any head goes; -1 if no token is seen by enough queries."""


def sink_numbers(attention: AttentionTrace, epsilon: float = SINK_EPSILON) -> SinkNumbers:
    """Sum up a run's attention.

    Parameters
    ----------
    attention : AttentionTrace
        A run's attention.
    epsilon : float, default 0.3
        As for :func:`~.measures.sink_rate`.
    """
    position, received = strongest_sink(attention)
    best = np.where(np.isnan(received), -1, received).argmax()
    return SinkNumbers(
        on_first=float(attention.sink_mass.mean()),
        uniform=float(attention.sink_baseline.mean()),
        times_uniform=float(against_baseline(attention).mean()),
        rate=float(sink_rate(attention, epsilon)[0]),
        strongest=int(position.ravel()[best]),
    )


def leaning_head(attention: AttentionTrace, layer: int | None = None) -> tuple[int, int]:
    """Layer and head that give token 0 the largest share of their attention, of one layer or of all."""
    rows = attention.sink_mass
    if layer is not None:
        return layer, int(rows[attention.row_of(layer)].argmax())
    row, head = np.unravel_index(int(rows.argmax()), rows.shape)
    return int(attention.layer_numbers[row]), int(head)


def mean_received(attention: AttentionTrace, layer: int | None = None, head: int | None = None) -> np.ndarray:
    """Attention that each token gets, float32, (T,), in [0, 1]: of one layer, one head of it, or the mean of all.

    Raises
    ------
    ValueError
        If the layer has no attention.
    """
    picked = attention.received if layer is None else attention.received[attention.row_of(layer)][None]
    picked = picked if head is None else picked[:, head : head + 1]
    return picked.astype(np.float64).mean((0, 1)).astype(np.float32)


def received_frame(
    attention: AttentionTrace, layer: int | None = None, head: int | None = None
) -> pd.DataFrame:
    """One row per token: ``position``, ``received`` as :func:`mean_received`, and ``seen_by_queries``, the fewest."""
    received = mean_received(attention, layer, head)
    return pd.DataFrame(
        {
            "position": np.arange(len(received)),
            "received": received.astype(float),
            "seen_by_queries": attention.seen_by().min(0),
        }
    )


@dataclass(frozen=True, eq=False)
class ReceivedBy:
    """Attention that one token gets."""

    mean: float
    """In [0, 1], mean over layers and heads."""
    rank: int
    """1 for the token that gets most."""
    n_queries: int
    """Queries that can see it, in the layer where these are fewest."""
    heads: pd.DataFrame
    """``layer``, ``head`` and ``gives`` (in [0, 1]) of the heads that give it most, most first."""


def received_by(attention: AttentionTrace, position: int, n_heads: int = 12) -> ReceivedBy:
    """What one token gets, and from which heads.

    Parameters
    ----------
    attention : AttentionTrace
        A run's attention.
    position : int
        The token.
    n_heads : int, default 12
        Heads listed.
    """
    mean = attention.received.astype(np.float64).mean((0, 1))
    gives = attention.received[:, :, position]
    order = np.argsort(-gives.ravel(), kind="stable")[:n_heads]
    rows, heads = np.unravel_index(order, gives.shape)
    return ReceivedBy(
        mean=float(mean[position]),
        rank=int((mean > mean[position]).sum()) + 1,
        n_queries=int(attention.seen_by()[:, position].min()),
        heads=pd.DataFrame(
            {"layer": attention.layer_numbers[rows], "head": heads, "gives": gives.ravel()[order]}
        ),
    )


def triad_frame(attention: AttentionTrace, residual_norm: np.ndarray, position: int = 0) -> pd.DataFrame:
    """The triad of one token, one row per layer; parameters as :func:`~.measures.triad`.

    Returns
    -------
    pandas.DataFrame
        ``layer`` (0 is what enters block 1), ``received_mean`` and ``value_over_others`` (means over heads and KV
        heads, NaN where a layer has no attention), ``state_norm_token``, ``state_norm_others_median``,
        ``state_norm_others_largest``.
    """
    values = triad(attention, residual_norm, position)
    n_rows = len(values.residual_token)
    by_layer = pd.DataFrame(
        {"received": values.sink.mean(1), "drain": values.value_drain.mean(1)}, index=attention.layer_numbers
    ).reindex(range(n_rows))
    return pd.DataFrame(
        {
            "layer": np.arange(n_rows),
            "received_mean": by_layer["received"].astype(float),
            "value_over_others": by_layer["drain"].astype(float),
            "state_norm_token": values.residual_token.astype(float),
            "state_norm_others_median": values.residual_median.astype(float),
            "state_norm_others_largest": values.residual_max.astype(float),
        }
    )


def switching_heads(difference: pd.DataFrame, n: int = 10) -> pd.DataFrame:
    """The heads that differ most between two runs, whichever way; of :func:`~.figures.difference_frame`."""
    return difference.sort_values("difference", key=abs, ascending=False).head(n)


def map_seconds(trace: Trace, layer: int) -> float:
    """About how long one pass up to a layer takes, from what the run needed; NaN where the run has no times."""
    body = trace.seconds.get("body", math.nan)
    return body * (layer + 1) / max(trace.spec.n_layers, 1)


def most_rows(n_heads: int) -> int:
    """Rows of cells that a head's map may have, so that the maps of all heads of a layer stay under 16 MB."""
    return max(1, min(_MOST_ROWS, math.isqrt(_MOST_CELLS // n_heads)))
