"""The token strip of a run, coloured by a chosen quantity."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from analysis.drawing.strip import MARKED, SPAN, SPECIAL, Strip
from analysis.drawing.theme import RAMP_STEPS, amount_ramp, ramp_through, signed_ramp, theme
from analysis.errors import AnalysisError
from analysis.results.token_quantities import TOKEN_QUANTITIES, TokenQuantity, quantities_of
from analysis.results.tokens import TokenTrace
from analysis.token_entropy.measures import (
    FORKING_SHARE,
    TRIGGER_FACTOR,
    TRIGGER_WINDOW,
    forking_tokens,
    moving_threshold,
    triggers,
)
from analysis.units import Unit, unit_label

Mark = Literal["forking tokens", "SRGen triggers"]
MARKS: tuple[Mark, ...] = get_args(Mark)
"""What a token strip can mark."""


def marked_tokens(
    entropy: np.ndarray,
    mark: Mark = "forking tokens",
    *,
    share: float = FORKING_SHARE,
    window: int = TRIGGER_WINDOW,
    factor: float = TRIGGER_FACTOR,
) -> tuple[np.ndarray, str]:
    """Which tokens a strip marks, bool, (T,), and what the mark is called in its legend.

    Parameters
    ----------
    entropy : numpy.ndarray, shape (T,)
        Nats.
    mark : str
        One of :data:`MARKS`.
    share : float
        Of :func:`analysis.token_entropy.measures.forking_tokens`.
    window, factor
        Of :func:`analysis.token_entropy.measures.moving_threshold`.
    """
    if mark not in MARKS:
        raise ValueError(f"mark must be one of {MARKS}, got {mark!r}")
    if mark == "forking tokens":
        return forking_tokens(entropy, share), f"forking token: top {share:.0%} entropy"
    marked = triggers(entropy, moving_threshold(entropy, window, factor))
    return marked, f"trigger: above SRGen's threshold ({int(marked.sum())} here)"


def _limits(values: np.ndarray, quantity: TokenQuantity, vocab_size: int) -> tuple[float, float]:
    """Ends of the ramp: rounded up, so two texts of a kind get the same colours."""
    if quantity.end is not None:
        return 0.0, quantity.end(vocab_size)
    known = values[~np.isnan(values)]
    top = float(np.percentile(np.abs(known), 99)) if len(known) else 1.0
    top = float(np.ceil(max(top, 1e-6)))
    return (-top if quantity.signed else 0.0), top


def _ramp(quantity: TokenQuantity, theme_name: str) -> np.ndarray:
    if quantity.classes:
        return ramp_through(theme(theme_name).buckets, RAMP_STEPS)
    return signed_ramp(theme_name) if quantity.signed else amount_ramp("token_entropy", theme_name)


def _details(quantity: TokenQuantity, tokens: TokenTrace) -> tuple[str, ...]:
    """The value itself for the hover, where something made of it is coloured."""
    if quantity.drawn is None:
        return ()
    name = quantity.source or quantity.name
    return tuple(f"{name} {value}" if value else "" for value in quantity.values(tokens))


def entropy_strip(
    tokens: TokenTrace,
    quantity: str = "entropy",
    *,
    unit: Unit = "nats",
    vocab_size: int,
    marked: np.ndarray | None = None,
    marked_name: str = "",
    span: np.ndarray | None = None,
    span_name: str = "",
) -> Strip:
    """Data of a token strip.

    Parameters
    ----------
    tokens : TokenTrace
        A run's tokens.
    quantity : str
        One of :data:`analysis.results.token_quantities.TOKEN_QUANTITIES`.
    unit : {"nats", "bits"}
        Unit of information.
    vocab_size : int
        Size of the vocabulary, the end of the rank ramp.
    marked, span : numpy.ndarray of bool, shape (T,), optional
        Tokens to mark, and tokens to underline.
    marked_name, span_name : str
        What mark and underline mean, for the legend.

    Raises
    ------
    AnalysisError
        If the run did not measure the quantity, as a file of an earlier version may not have.
    """
    if quantity not in TOKEN_QUANTITIES:
        raise ValueError(f"quantity must be one of {tuple(TOKEN_QUANTITIES)}, got {quantity!r}")
    declared = TOKEN_QUANTITIES[quantity]
    if quantity not in quantities_of(tokens):
        raise AnalysisError(f"This run has no {declared.label}.", "Run the text again.")
    values = declared.colour_values(tokens, unit)
    low, high = _limits(values, declared, vocab_size)
    flags = tokens.is_special.astype(np.uint8) * SPECIAL
    if marked is not None:
        flags |= marked.astype(np.uint8) * MARKED
    if span is not None:
        flags |= span.astype(np.uint8) * SPAN
    return Strip(
        title=declared.title,
        unit=declared.drawn_unit or unit_label(unit, power=declared.power),
        values=values,
        cell=tokens.cell,
        cell_text=tokens.cell_text,
        flags=flags,
        low=low,
        high=high,
        light=_ramp(declared, "light"),
        dark=_ramp(declared, "dark"),
        marked=marked_name if marked is not None else "",
        span=span_name if span is not None else "",
        buckets=declared.classes,
        details=_details(declared, tokens),
    )
