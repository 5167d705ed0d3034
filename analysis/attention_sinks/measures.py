"""Measures on attention statistics: sinks anywhere, sink rate, head classes, the triad.

Numpy only. K layers with attention, H query heads, G KV heads, T tokens; L layers in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.results.attention import AttentionTrace

SINK_EPSILON = 0.3
"""A head has a sink at a key that gets more than this on average (Gu et al. 2024)."""
MIN_QUERIES = 8
"""Keys that fewer queries can see are left out: the last keys always look like sinks."""
FIRST_ROW = 16
"""First row whose entropy counts for a head: ln of the visible tokens is tiny before."""
COLLAPSED, OVERLOADED = 0.05, 0.9
"""Normalised head entropy below and above which a head is called so; the limits are ours, see :func:`head_classes`."""


def against_baseline(attention: AttentionTrace) -> np.ndarray:
    """Sink mass divided by what uniform attention would give, (K, H).

    1 at any length means no preference for token 0; short texts cannot fake a sink.
    """
    return attention.sink_mass / attention.sink_baseline[:, None]


def strongest_sink(
    attention: AttentionTrace, min_queries: int = MIN_QUERIES
) -> tuple[np.ndarray, np.ndarray]:
    """The key that gets most attention, wherever it is.

    Returns
    -------
    tuple of numpy.ndarray, each of shape (K, H)
        Its position (-1 if no key is seen by enough queries) and what it receives (NaN).
    """
    enough = attention.seen_by() >= min_queries
    received = np.where(enough[:, None, :], attention.received, -np.inf)
    position = received.argmax(-1)
    value = received.max(-1)
    none = ~np.isfinite(value)
    return np.where(none, -1, position), np.where(none, np.nan, value)


def sink_rate(attention: AttentionTrace, epsilon: float = SINK_EPSILON) -> np.ndarray:
    """Share of all heads for which each key is a sink, (T,), in [0, 1]; NaN for keys seen too rarely.

    References
    ----------
    Gu et al. 2024, arXiv:2410.10781: Sink_k^epsilon, there for one key, in per cent, and as a mean over many texts of
    64 tokens; here it is one text at its own length. Column means of early keys fall with the length.
    """
    enough = (attention.seen_by() >= MIN_QUERIES).all(0)
    rate = (attention.received > epsilon).mean((0, 1))
    return np.where(enough, rate, np.nan)


def head_entropy(attention: AttentionTrace, first_row: int = FIRST_ROW) -> np.ndarray:
    """Mean of row entropy over ln of the visible tokens, (K, H), in [0, 1].

    Rows before ``first_row`` are left out; NaN if the text is not longer than that.
    """
    n_tokens = attention.entropy.shape[2]
    if n_tokens <= first_row:
        return np.full(attention.entropy.shape[:2], np.nan)
    visible = attention.visible()[:, None, first_row:]
    with np.errstate(divide="ignore", invalid="ignore"):  # the first row of a chunk sees one key
        shares = attention.entropy[:, :, first_row:] / np.log(visible)
    return np.where(visible > 1, shares, 0).sum(-1) / (visible > 1).sum(-1)


def head_classes(
    normalised: np.ndarray, collapsed: float = COLLAPSED, overloaded: float = OVERLOADED
) -> np.ndarray:
    """Class of each head by its normalised entropy, (K, H) of str; empty for NaN.

    Parameters
    ----------
    normalised : numpy.ndarray, shape (K, H)
        From :func:`head_entropy`.
    collapsed, overloaded : float
        "collapsed" below the first, "overloaded" above the second, "between" else.

    References
    ----------
    The words are those of Jha and Reagen 2025 (arXiv:2501.03489), who call so what happens to whole models without
    nonlinearities. They draw no such limits: their regulariser learns a threshold per head and divides by ln of the
    whole context, where :func:`head_entropy` divides each row by ln of what it can see. The limits are ours. Guo et
    al.'s code (arXiv:2410.13835) tells sink heads by another pair, low entropy of rows and high entropy of a
    column, with thresholds that its caller gives.
    """
    names = np.full(normalised.shape, "between", dtype="<U10")
    names[normalised < collapsed] = "collapsed"
    names[normalised > overloaded] = "overloaded"
    names[np.isnan(normalised)] = ""
    return names


def entropy_by_position(attention: AttentionTrace) -> pd.DataFrame:
    """Row entropy against position, averaged over heads of the layers without a window or chunks.

    Returns
    -------
    pandas.DataFrame
        ``position``, ``entropy`` (nats), ``uniform`` (ln N) and ``below_uniform``. Flat below_uniform is
        dilution at work; a rising one is sharpening.
    """
    full = (attention.window == 0) & (attention.chunk == 0)
    rows = attention.entropy[full if full.any() else slice(None)].astype(np.float64).mean((0, 1))
    position = np.arange(len(rows))
    uniform = np.log(position + 1.0)
    return pd.DataFrame(
        {"position": position, "entropy": rows, "uniform": uniform, "below_uniform": uniform - rows}
    )


@dataclass(frozen=True)
class Triad:
    """The extreme-token triad of one token, layer by layer."""

    position: int
    sink: np.ndarray
    """(K, H): attention the token receives."""
    value_drain: np.ndarray
    """(K, G): norm of its value over the median norm of the others' values; below 1 is drained."""
    residual_token: np.ndarray
    """(L + 1,): norm of its state."""
    residual_median: np.ndarray
    """(L + 1,): median norm of the others' states."""
    residual_max: np.ndarray
    """(L + 1,): largest norm of the others' states."""

    @property
    def state_peak(self) -> tuple[float, int]:
        """Largest norm of its state over the median of the others', and before which layer that is, L after the last."""
        times = self.residual_token / np.maximum(self.residual_median, 1e-12)
        return float(times.max()), int(times.argmax())

    @property
    def smallest_value(self) -> float:
        """Smallest of ``value_drain``; NaN where no values are known."""
        return float(self.value_drain.min())


def triad(attention: AttentionTrace, residual_norm: np.ndarray, position: int = 0) -> Triad:
    """Sink strength, value drain and residual peak of one token.

    Parameters
    ----------
    attention : AttentionTrace
        A run's attention.
    residual_norm : numpy.ndarray, shape (L + 1, T)
        ``trace.layers.residual_norm``.
    position : int, default 0
        The token; at least one other token must exist.

    References
    ----------
    Guo et al. 2024, arXiv:2410.13835 (Active-Dormant Attention Heads).
    """
    others = np.delete(np.arange(residual_norm.shape[1]), position)
    if not len(others):
        raise ValueError("the triad compares a token with the others, and there are none")
    median_value = np.median(attention.value_norm[:, :, others], axis=-1)
    return Triad(
        position=position,
        sink=attention.received[:, :, position],
        value_drain=attention.value_norm[:, :, position] / np.maximum(median_value, 1e-12),
        residual_token=residual_norm[:, position],
        residual_median=np.median(residual_norm[:, others], axis=-1),
        residual_max=residual_norm[:, others].max(-1),
    )


def emergence(residual_norm: np.ndarray) -> tuple[int, int]:
    """Layer at which the largest state outgrows the others, and the token it belongs to.

    Parameters
    ----------
    residual_norm : numpy.ndarray, shape (L + 1, T)
        ``trace.layers.residual_norm``; L at least 1.

    Returns
    -------
    tuple of int
        The layer l in 1..L with the largest growth, from l - 1 to l, of the quotient of the largest state norm and
        the median one, and the token that has the largest norm at l.
    """
    norms = residual_norm.astype(np.float64)
    times = norms.max(1) / np.maximum(np.median(norms, axis=1), 1e-12)
    layer = int(np.argmax(times[1:] / np.maximum(times[:-1], 1e-12))) + 1
    return layer, int(norms[layer].argmax())


def entropies_frame(attention: AttentionTrace, token_entropy: np.ndarray) -> pd.DataFrame:
    """How spread attention was, and how unsure the model, before each token.

    Parameters
    ----------
    attention : AttentionTrace
        A run's attention.
    token_entropy : numpy.ndarray, shape (T,)
        ``trace.tokens.entropy``: nats, of the distribution from which token t came; NaN without context.

    Returns
    -------
    pandas.DataFrame
        One row per token that the model predicted: ``position`` t; ``attention_entropy``, in [0, 1], the entropy of
        row t - 1, the query that predicts token t, over ln of what it can see, mean over the heads of layers where it
        sees more than one token; ``token_entropy``, nats. Rows before :data:`FIRST_ROW` are left out.
    """
    visible = attention.visible()[:, None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = attention.entropy.astype(np.float64) / np.log(visible)
    several = np.broadcast_to(visible > 1, shares.shape)
    mean = np.where(several, shares, 0).sum((0, 1)) / np.maximum(several.sum((0, 1)), 1)
    frame = pd.DataFrame(
        {
            "position": np.arange(1, len(token_entropy)),
            "attention_entropy": mean[:-1],
            "token_entropy": token_entropy[1:].astype(float),
        }
    )
    return frame[(frame["position"] > FIRST_ROW) & frame["token_entropy"].notna()].reset_index(drop=True)


def heads_frame(attention: AttentionTrace) -> pd.DataFrame:
    """Table with one row per layer and head."""
    n_layers, n_heads = attention.n_layers, attention.n_heads
    position, received = strongest_sink(attention)
    entropy = head_entropy(attention)
    frame = pd.DataFrame(
        {
            "layer": np.repeat(attention.layer_numbers, n_heads),
            "head": np.tile(np.arange(n_heads), n_layers),
            "sink_mass": attention.sink_mass.ravel().astype(float),
            "times_uniform": against_baseline(attention).ravel().astype(float),
            "strongest_position": position.ravel(),
            "strongest_received": received.ravel().astype(float),
            "entropy_normalised": entropy.ravel().astype(float),
            "class": head_classes(entropy).ravel(),
            "mean_distance_tokens": attention.distance.ravel().astype(float),
            "window_tokens": np.repeat(attention.window, n_heads),
        }
    )
    if attention.chunk.any():
        frame["chunk_tokens"] = np.repeat(attention.chunk, n_heads)
    if attention.gate is not None:
        frame["output_passed_on"] = attention.gate.ravel().astype(float)
    if attention.learned_sink is not None:
        frame["learned_sink"] = attention.learned_sink.ravel().astype(float)
    return frame
