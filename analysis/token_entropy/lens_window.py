"""The logit lens as cells: what every layer would say before the tokens of a window, and a bar of the whole text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from analysis.drawing.cells import CellAxis, Cells
from analysis.drawing.labels import visible
from analysis.drawing.numbers import count
from analysis.drawing.theme import amount_ramp
from analysis.errors import AnalysisError
from analysis.units import Unit, from_nats, unit_label

if TYPE_CHECKING:
    from analysis.results.layers import LayerTrace
    from analysis.results.trace import Trace

LensQuantityName = Literal["entropy", "kl", "rank"]
WINDOW = 11
"""Tokens whose words can be read beside each other."""
_LETTERS = 8
"""Of a token under its column."""
BAR_COLUMNS = 400
"""Columns of the bar over a whole text; longer texts are pooled, keeping the largest value."""


@dataclass(frozen=True)
class LensQuantity:
    """One quantity per token and layer."""

    label: str
    """On buttons."""
    title: str
    """Of the scale."""
    faint: str
    """What a faint cell means, as a sentence."""
    values: Callable[[LayerTrace], np.ndarray | None]
    """As measured, (n, T); None where the run did not measure it."""
    power: int = 1
    """Power of the unit: 1 information, 0 none."""


LENS_QUANTITIES: dict[LensQuantityName, LensQuantity] = {
    "entropy": LensQuantity("entropy", "Entropy", "Faint: already sure.", lambda layers: layers.lens_entropy),
    "kl": LensQuantity(
        "distance to the output",
        "KL to the output",
        "Faint: already what the output says.",
        lambda layers: layers.lens_kl,
    ),
    "rank": LensQuantity(
        "rank of the token",
        "Rank, log scale",
        "Faint: the token that came is the first choice.",
        lambda layers: layers.lens_rank,
        0,
    ),
}
"""What the cells of the lens are coloured by, by name."""


def lens_quantities_of(trace: Trace) -> dict[LensQuantityName, LensQuantity]:
    """Those that a run has: none without a lens, and no ranks in a file of an earlier version."""
    return {name: q for name, q in LENS_QUANTITIES.items() if q.values(trace.layers) is not None}


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


def _high(values: np.ndarray, quantity: LensQuantityName, trace: Trace) -> float:
    """Value of the strongest colour: the 99th percentile over the whole text, rounded up, or the last rank's."""
    if quantity == "rank":
        return float(np.log10(trace.spec.vocab_size))
    known = values[np.isfinite(values)]
    return float(np.ceil(max(np.percentile(known, 99) if len(known) else 1.0, 1e-6)))


def _cells(trace: Trace, quantity: LensQuantityName, unit: Unit, values: np.ndarray, **more: Any) -> Cells:
    """Cells with the last layer on top; scale and names are those of the whole text."""
    layers = trace.layers.lens_layers
    assert layers is not None
    declared = LENS_QUANTITIES[quantity]
    return Cells(
        declared.title,
        "log10 rank" if quantity == "rank" else unit_label(unit, power=declared.power),
        values[::-1],
        CellAxis.numbered("layer", [int(layer) for layer in layers[::-1]]),
        low=0.0,
        high=_high(_values(trace, quantity, unit), quantity, trace),
        light=amount_ramp("token_entropy", "light"),
        dark=amount_ramp("token_entropy", "dark"),
        scale="linear",
        missing="no context",
        **more,
    )


def window_at(first: int, n_tokens: int, width: int = WINDOW) -> range:
    """Tokens of a window, moved and cut so that it lies in the text."""
    first = max(0, min(first, n_tokens - width))
    return range(first, min(n_tokens, first + width))


def lens_cells(
    trace: Trace,
    quantity: LensQuantityName = "entropy",
    *,
    unit: Unit = "nats",
    first: int = 0,
    width: int = WINDOW,
) -> Cells:
    """What every layer would say before each token of a window, the last layer on top.

    Parameters
    ----------
    trace : Trace
        A run with the lens.
    quantity : {"entropy", "kl", "rank"}
        What to colour: entropy of the layer's distribution, KL from the output to it, or the rank of the token that came.
    unit : {"nats", "bits"}
        Unit of entropy and KL.
    first, width : int
        The window, as for :func:`window_at`.

    Returns
    -------
    Cells
        Values in the unit, or common logarithms of ranks; words are first choices, outlined where it is the output's.

    Raises
    ------
    AnalysisError
        If the run was made without the lens, or by a version without ranks.
    """
    values, tokens, says = _values(trace, quantity, unit), trace.tokens, trace.layers.lens_top_ids
    assert says is not None
    window = window_at(first, len(tokens), width)
    stretch = slice(window.start, window.stop)
    said = says[::-1, stretch]
    ranks = [] if trace.layers.lens_rank is None else trace.layers.lens_rank[::-1, stretch].ravel().tolist()
    columns = CellAxis(
        f"tokens {window.start} to {window[-1]}",
        tuple(_short(visible(tokens.text[t])) for t in window),
        tuple(f"token {t} {visible(tokens.text[t])}" for t in window),
    )
    return _cells(
        trace,
        quantity,
        unit,
        values[:, stretch],
        columns=columns,
        texts=tuple(tokens.names[int(i)] if i >= 0 else "" for i in said.ravel()),
        details=tuple(f"the token that came has rank {count(rank)}" if rank else "" for rank in ranks),
        outlined=(said == says[-1, stretch]) & (said >= 0),
        outlined_name="same as the output",
    )


def _short(word: str) -> str:
    return word if len(word) <= _LETTERS else f"{word[: _LETTERS - 1]}…"


def lens_bar(
    trace: Trace, quantity: LensQuantityName = "entropy", *, unit: Unit = "nats"
) -> tuple[Cells, int]:
    """The lens over a whole text for a low picture.

    Returns
    -------
    tuple of (Cells, int)
        Cells of at most :data:`BAR_COLUMNS` columns, each the largest value of its tokens; and tokens per column.
    """
    values, tokens = _values(trace, quantity, unit), trace.tokens
    n = len(tokens)
    step = -(-n // BAR_COLUMNS)
    starts = range(0, n, step)
    names = tuple(
        f"token {t} {visible(tokens.text[t])}" if step == 1 else f"tokens {t} to {min(t + step, n) - 1}"
        for t in starts
    )
    columns = CellAxis("token", tuple(map(str, starts)), names)
    pooled = np.fmax.reduceat(values, list(starts), axis=1)
    return _cells(trace, quantity, unit, pooled, columns=columns), step


def window_start(position: int, n_tokens: int, *, shown: int | None = None, width: int = WINDOW) -> int:
    """First token of a window that holds a token.

    Parameters
    ----------
    position : int
        The token.
    n_tokens : int
        Length of the text.
    shown : int, optional
        Where the window is now: it stays as long as the token is in it and not at an edge behind which there is more.
    width : int
        Tokens in a window.

    Returns
    -------
    int
        ``shown``, or the window with the token in its middle, moved into the text.
    """
    last = max(0, n_tokens - width)
    if shown is not None and 0 <= shown <= last:
        left, right = shown + (shown > 0), shown + width - (shown < last)
        if left <= position < right:
            return shown
    return max(0, min(position - width // 2, last))


def settled_layer(trace: Trace, position: int) -> int | None:
    """First layer from which on the first choice is the output's before a token; None without context or lens."""
    layers = trace.layers
    if layers.lens_layers is None or layers.lens_top_ids is None or layers.lens_top_ids[-1, position] < 0:
        return None
    others = np.flatnonzero(layers.lens_top_ids[:, position] != layers.lens_top_ids[-1, position])
    return int(layers.lens_layers[others[-1] + 1 if len(others) else 0])
