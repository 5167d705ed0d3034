"""The logit lens around one token: what every layer would say, as cells. Results in, plain values out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from analysis.errors import AnalysisError
from analysis.units import Unit, from_nats, unit_label

if TYPE_CHECKING:
    from analysis.results.layers import LayerTrace
    from analysis.results.trace import Trace

LensQuantityName = Literal["entropy", "kl", "rank"]
WINDOW = 11
"""Tokens whose words can be read beside each other."""
BAR_COLUMNS = 400
"""Columns of the bar over a whole text; longer texts are pooled, keeping the largest value."""


@dataclass(frozen=True)
class LensQuantity:
    """One quantity per token and layer."""

    label: str
    """On buttons."""
    faint: str
    """What a faint cell means, as a sentence."""
    values: Callable[[LayerTrace], np.ndarray | None]
    """As measured, (n, T); None where the run did not measure it."""
    power: int = 1
    """Power of the unit: 1 information, 0 none."""


LENS_QUANTITIES: dict[LensQuantityName, LensQuantity] = {
    "entropy": LensQuantity("entropy", "Faint: already sure.", lambda layers: layers.lens_entropy),
    "kl": LensQuantity(
        "distance to the output", "Faint: already what the output says.", lambda layers: layers.lens_kl
    ),
    "rank": LensQuantity(
        "rank of the token",
        "Faint: the token that came is the first choice.",
        lambda layers: layers.lens_rank,
        0,
    ),
}
"""What the cells of the lens are coloured by, by name."""


def lens_quantities_of(trace: Trace) -> dict[LensQuantityName, LensQuantity]:
    """Those that a run has: none without a lens, and no ranks in a file of an earlier version."""
    return {name: q for name, q in LENS_QUANTITIES.items() if q.values(trace.layers) is not None}


@dataclass(frozen=True)
class LensCells:
    """The lens over a stretch of tokens."""

    first: int
    """First token of the stretch."""
    layers: np.ndarray
    """int32, (n,), rising."""
    values: np.ndarray
    """float32, (n, W), in the unit asked for; the common logarithm of a rank; NaN without context."""
    high: float
    """Value of the strongest colour: the 99th percentile over the whole text, rounded up, or that of the last rank."""
    words: tuple[tuple[str, ...], ...]
    """Each layer's first choice, (n, W); empty without context."""
    is_output: np.ndarray
    """bool, (n, W): whether that is the output's first choice."""
    ends: tuple[str, str]
    """What the scale says at its two ends."""


def _values(trace: Trace, quantity: LensQuantityName, unit: Unit) -> np.ndarray:
    if quantity not in LENS_QUANTITIES:
        raise ValueError(f"quantity must be one of {tuple(LENS_QUANTITIES)}, got {quantity!r}")
    if quantity not in lens_quantities_of(trace):
        raise AnalysisError(
            f"This run has no {LENS_QUANTITIES[quantity].label} of the logit lens.",
            "Run the text again with the lens.",
        )
    measured = LENS_QUANTITIES[quantity].values(trace.layers)
    assert measured is not None
    if quantity == "rank":
        return np.log10(np.where(measured > 0, measured, np.nan)).astype(np.float32)
    return np.asarray(from_nats(measured.astype(np.float32), unit), np.float32)


def _scale(
    values: np.ndarray, quantity: LensQuantityName, unit: Unit, vocab: int
) -> tuple[float, tuple[str, str]]:
    if quantity == "rank":
        return float(np.log10(vocab)), ("1", f"rank {vocab:,}".replace(",", "\u2009"))
    known = values[np.isfinite(values)]
    top = float(np.ceil(max(np.percentile(known, 99) if len(known) else 1.0, 1e-6)))
    return top, ("0", f"{top:.0f} {unit_label(unit)}")


def lens_cells(
    trace: Trace,
    quantity: LensQuantityName = "entropy",
    *,
    unit: Unit = "nats",
    first: int = 0,
    width: int = WINDOW,
) -> LensCells:
    """What every layer would say before each token of a stretch.

    Parameters
    ----------
    trace : Trace
        A run with the lens.
    quantity : {"entropy", "kl", "rank"}
        What to colour: entropy of the layer's distribution, KL from the output to it, or the rank of the token that came.
    unit : {"nats", "bits"}
        Unit of entropy and KL.
    first, width : int
        The stretch; it is moved and cut so that it lies in the text.

    Raises
    ------
    AnalysisError
        If the run was made without the lens, or by a version without ranks.
    """
    values = _values(trace, quantity, unit)
    layers, tokens, n = trace.layers, trace.tokens, values.shape[1]
    assert layers.lens_layers is not None and layers.lens_top_ids is not None
    first = max(0, min(first, n - width))
    stretch = slice(first, min(n, first + width))
    says = layers.lens_top_ids[:, stretch]
    high, ends = _scale(values, quantity, unit, trace.spec.vocab_size)
    return LensCells(
        first,
        layers.lens_layers,
        values[:, stretch],
        high,
        tuple(tuple(tokens.names[int(i)] if i >= 0 else "" for i in row) for row in says),
        (says == says[-1]) & (says >= 0),
        ends,
    )


def lens_bar(
    trace: Trace, quantity: LensQuantityName = "entropy", *, unit: Unit = "nats"
) -> tuple[np.ndarray, int]:
    """The lens over a whole text for a small picture.

    Returns
    -------
    tuple of (numpy.ndarray, int)
        float32, (n, columns): the largest value of each column's tokens; and tokens per column.
    """
    values = _values(trace, quantity, unit)
    step = -(-values.shape[1] // BAR_COLUMNS)
    return np.fmax.reduceat(values, np.arange(0, values.shape[1], step), axis=1), step


def window_start(position: int, n_tokens: int, *, shown: int | None = None, width: int = WINDOW) -> int:
    """First token of a window that holds a token.

    Parameters
    ----------
    position : int
        The token.
    n_tokens : int
        Length of the text.
    shown : int, optional
        Where the window is now: it stays as long as the token is in it.
    width : int
        Tokens in a window.

    Returns
    -------
    int
        ``shown``, or the window with the token in its middle, moved into the text.
    """
    last = max(0, n_tokens - width)
    if shown is not None and 0 <= shown <= last and shown <= position < shown + width:
        return shown
    return max(0, min(position - width // 2, last))


def settled_layer(trace: Trace, position: int) -> int | None:
    """First layer from which on the first choice is the output's before a token; None without context or lens."""
    layers = trace.layers
    if layers.lens_layers is None or layers.lens_top_ids is None or layers.lens_top_ids[-1, position] < 0:
        return None
    others = np.flatnonzero(layers.lens_top_ids[:, position] != layers.lens_top_ids[-1, position])
    return int(layers.lens_layers[others[-1] + 1 if len(others) else 0])
