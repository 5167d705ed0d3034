"""The token strip of a run, coloured by a chosen quantity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from analysis.drawing.strip import MARKED, SPAN, SPECIAL, Strip
from analysis.drawing.theme import RAMP_STEPS, amount_ramp, ramp_through, signed_ramp, theme
from analysis.results.tokens import TokenTrace
from analysis.token_entropy.measures import (
    FORKING_SHARE,
    GLTR_NAMES,
    TRIGGER_FACTOR,
    TRIGGER_WINDOW,
    forking_tokens,
    gltr_bucket,
    moving_threshold,
    triggers,
)
from analysis.units import Unit, from_nats, unit_label

Quantity = Literal["entropy", "surprisal", "gap", "varentropy", "rank", "gltr", "max_prob"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)


@dataclass(frozen=True)
class QuantityText:
    """How a quantity is named and read."""

    label: str
    title: str
    caption: str
    power: int
    """Power of the unit: 1 information, 2 its square, 0 no unit."""


TEXTS: dict[Quantity, QuantityText] = {
    "entropy": QuantityText(
        "entropy", "Entropy before each token", "Stronger colour: the model saw more ways to go on.", 1
    ),
    "surprisal": QuantityText(
        "surprisal", "Surprisal of each token", "Stronger colour: the token that came was less expected.", 1
    ),
    "gap": QuantityText(
        "gap",
        "Surprisal minus entropy",
        "Orange: more surprised than the model expected to be. Blue: less.",
        1,
    ),
    "varentropy": QuantityText(
        "varentropy",
        "Varentropy before each token",
        "Stronger colour: some ways to go on were likely and others far-fetched. Faint: all about equally likely.",
        2,
    ),
    "rank": QuantityText(
        "rank",
        "Rank of each token (log scale)",
        "Faint: the model's first choice. Each equal step in colour multiplies the rank.",
        0,
    ),
    "gltr": QuantityText(
        "rank classes",
        "Rank class of each token",
        "Whether the token was among the model's ten, hundred or thousand first choices.",
        0,
    ),
    "max_prob": QuantityText(
        "top-1 probability",
        "Probability of the model's first choice",
        "Stronger colour: the model was surer of its first choice, right or wrong.",
        0,
    ),
}


def quantity_values(tokens: TokenTrace, quantity: Quantity, unit: Unit = "nats") -> np.ndarray:
    """Values of a quantity as drawn, shape (T,), float32; NaN where there was no context.

    ``rank`` is drawn as log10 so that a step of colour multiplies the rank.
    """
    if quantity == "rank":
        with np.errstate(divide="ignore"):
            return np.where(tokens.rank > 0, np.log10(tokens.rank), np.nan).astype(np.float32)
    if quantity == "gltr":
        return gltr_bucket(tokens.rank)
    values = getattr(tokens, quantity).astype(np.float64)
    return from_nats(values, unit, power=TEXTS[quantity].power).astype(np.float32)


def _limits(values: np.ndarray, quantity: Quantity, vocab_size: int) -> tuple[float, float]:
    """Ends of the ramp: rounded up, so two texts of a kind get the same colours."""
    known = values[~np.isnan(values)]
    if quantity == "max_prob":
        return 0.0, 1.0
    if quantity == "gltr":
        return 0.0, float(len(GLTR_NAMES) - 1)
    if quantity == "rank":
        return 0.0, float(np.log10(vocab_size))
    top = float(np.percentile(np.abs(known), 99)) if len(known) else 1.0
    top = float(np.ceil(max(top, 1e-6)))
    return (-top, top) if quantity == "gap" else (0.0, top)


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


def entropy_strip(
    tokens: TokenTrace,
    quantity: Quantity = "entropy",
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
        One of :data:`QUANTITIES`.
    unit : {"nats", "bits"}
        Unit of information.
    vocab_size : int
        Size of the vocabulary, the end of the rank ramp.
    marked, span : numpy.ndarray of bool, shape (T,), optional
        Tokens to mark, and tokens to underline.
    marked_name, span_name : str
        What mark and underline mean, for the legend.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity must be one of {QUANTITIES}, got {quantity!r}")
    values = quantity_values(tokens, quantity, unit)
    low, high = _limits(values, quantity, vocab_size)
    flags = tokens.is_special.astype(np.uint8) * SPECIAL
    if marked is not None:
        flags |= marked.astype(np.uint8) * MARKED
    if span is not None:
        flags |= span.astype(np.uint8) * SPAN
    ramps = {}
    for name in ("light", "dark"):
        if quantity == "gap":
            ramps[name] = signed_ramp(name)
        elif quantity == "gltr":
            ramps[name] = ramp_through(theme(name).buckets, RAMP_STEPS)
        else:
            ramps[name] = amount_ramp("token_entropy", name)
    return Strip(
        title=TEXTS[quantity].title,
        unit="log10 rank" if quantity == "rank" else unit_label(unit, power=TEXTS[quantity].power),
        values=values,
        cell=tokens.cell,
        cell_text=tokens.cell_text,
        flags=flags,
        low=low,
        high=high,
        light=ramps["light"],
        dark=ramps["dark"],
        marked=marked_name if marked is not None else "",
        span=span_name if span is not None else "",
        buckets=GLTR_NAMES if quantity == "gltr" else (),
        details=tuple(f"rank {r}" if r else "" for r in tokens.rank) if quantity in ("rank", "gltr") else (),
    )
