"""The numbers of one token's story. Results in, values out; no model, no drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from analysis.attention_sinks.token_attention import TokenAttention
    from analysis.pruning_effects.eviction.survival import Survival
    from analysis.results.tokens import TokenTrace
    from analysis.results.trace import Trace

BUDGET = 0.3
"""Share of the context kept at which the story says what a loss does."""
_MOST_WORDS = 64
"""Tokens before a repeat that are compared."""


@dataclass(frozen=True)
class Repeat:
    """Where a token comes again."""

    position: int
    words: int
    """Tokens that are the same there, counted backwards from it and including it."""


def repeat_of(tokens: TokenTrace, position: int, first: int = 0) -> Repeat | None:
    """Where the same token comes again with the same tokens before it; None where it never does.

    Of all later places that with the longest stretch of equal tokens before it, of equal ones the first.

    Parameters
    ----------
    tokens : TokenTrace
        A run's tokens.
    position : int
        The token.
    first : int
        Only places from here on.
    """
    ids = tokens.token_id
    begin = max(position + 1, first)
    places = begin + np.flatnonzero(ids[begin:] == ids[position])
    if not len(places):
        return None
    for back in range(1, min(position, _MOST_WORDS) + 1):
        longer = places[ids[places - back] == ids[position - back]]
        if not len(longer):
            return Repeat(int(places[0]), back)
        places = longer
    return Repeat(int(places[0]), min(position, _MOST_WORDS) + 1)


@dataclass(frozen=True)
class Said:
    """What one layer would say."""

    layer: int
    name: str
    entropy: float
    """Nats."""
    shade: float
    """The same as a share of the strongest colour, 0 to 1: that of the run's 99th percentile, rounded up."""
    is_output: bool
    """Whether the output's first choice is the same."""


def path(trace: Trace, position: int) -> tuple[Said, ...] | None:
    """First choice of every layer before a token; None where the run has no lens, empty without context."""
    layers = trace.layers
    if layers.lens_layers is None or layers.lens_entropy is None or layers.lens_top_ids is None:
        return None
    says = layers.lens_top_ids[:, position]
    top = max(1.0, float(np.ceil(np.nanpercentile(trace.tokens.entropy, 99))))
    return tuple(
        Said(
            int(layer),
            trace.tokens.names[int(i)],
            float(entropy),
            min(1.0, float(entropy) / top),
            bool(i == says[-1]),
        )
        for layer, i, entropy in zip(layers.lens_layers, says, layers.lens_entropy[:, position], strict=True)
        if i >= 0
    )


@dataclass(frozen=True)
class Attending:
    """One later token that attends to the chosen one."""

    position: int
    name: str
    layer: int
    head: int
    weight: float


@dataclass(frozen=True)
class AttendedBy:
    """Who attends to a token."""

    bars: tuple[float, ...]
    """Attention of the queries from the token on, mean over heads, the largest of each bin, as a share of the largest
    later one. The first is the token's own, at most 1."""
    per_bin: int
    """Queries in a bin, but for the first."""
    before: float
    """Share of the text that comes before the token."""
    peak: int
    """The later query that gives most, mean over heads; -1 where there is none."""
    peak_weight: float
    """What it gives."""
    strongest: tuple[Attending, ...]
    """Single heads that attend most, each of another query."""


def attended_by(trace: Trace, between: TokenAttention, position: int, bins: int = 120) -> AttendedBy:
    """Who attends to a token: later queries pooled to bins of a picture, and the single heads that attend most.

    Parameters
    ----------
    trace : Trace
        The run, for the names of its tokens.
    between : TokenAttention
        From :func:`analysis.attention_sinks.token_attention.attention_between_tokens`.
    position : int
        The token.
    bins : int
        How many bars the whole text may have.
    """
    given = between.mean[position:, position]
    per_bin = -(-len(between.mean) // bins)
    largest = float(given[1:].max(initial=0.0))
    peak = int(np.argmax(given[1:])) + 1 if largest else 0
    later = (
        np.maximum.reduceat(given[1:], np.arange(0, len(given) - 1, per_bin)) if len(given) > 1 else given[1:]
    )
    heights = np.minimum(np.concatenate([given[:1], later]) / largest, 1.0) if largest else np.ones(1)
    strongest = tuple(
        Attending(int(q), trace.tokens.text[int(q)], int(layer), int(head), float(weight))
        for q, layer, head, weight in zip(
            between.query[position],
            between.layer[position],
            between.head[position],
            between.weight[position],
            strict=True,
        )
        if q >= 0
    )
    return AttendedBy(
        tuple(heights.tolist()),
        per_bin,
        position / len(between.mean),
        position + peak if peak else -1,
        largest,
        strongest,
    )


@dataclass(frozen=True)
class Lost:
    """When one method forgets a token, and what that does."""

    method: str
    label: str
    below: float
    """Smallest share kept from which on at least half of the caches hold the token; NaN where none does."""
    always: bool
    """Whether that is the smallest share that was tried."""
    survived: float
    """Share of the caches that hold it at :data:`BUDGET`."""
    surprisal: float
    """Nats: of the token that needed it, at :data:`BUDGET`; NaN where the method refuses it or no token is named."""


@dataclass(frozen=True)
class Forgotten:
    """When a token is forgotten, and what that does to the token that needed it."""

    methods: tuple[Lost, ...]
    needed: int
    """Token of the text after the context that needed it; -1 where none is known yet."""
    full: float
    """Nats: its surprisal with the full cache."""


def forgotten(
    tokens: TokenTrace, survived: Survival, position: int, between: TokenAttention | None = None
) -> Forgotten | None:
    """When each method forgets a token; None for a token after the context, which nothing evicts.

    Parameters
    ----------
    tokens : TokenTrace
        The run whose first ``survived.n_context`` tokens were the context.
    survived : Survival
        From :func:`analysis.pruning_effects.eviction.survival.survival`.
    position : int
        The token.
    between : TokenAttention, optional
        To name the token that needed it where it never comes again.

    Notes
    -----
    The token that needed it is the later repeat of the same words, else the one that was predicted while looking
    at it most. Only tokens that were predicted after the eviction count: from the second after the context on.
    """
    n = survived.n_context
    if position >= n:
        return None
    needed = _needed(tokens, position, n + 1, n + len(survived.full), between)
    below, column = survived.lost_below(position), survived.at(BUDGET)
    rows = []
    for number, (name, label) in enumerate(zip(survived.names, survived.labels, strict=True)):
        held = survived.survived[number, :, position]
        again = survived.surprisal[number, column, needed - n] if needed >= 0 else np.nan
        lowest = survived.kept[np.isfinite(held)][0]
        rows.append(
            Lost(
                name,
                label,
                float(below[number]),
                bool(below[number] == lowest),
                float(held[column]),
                float(again),
            )
        )
    full = float(survived.full[needed - n]) if needed >= 0 else float("nan")
    return Forgotten(tuple(rows), needed, full)


def _needed(tokens: TokenTrace, position: int, first: int, end: int, between: TokenAttention | None) -> int:
    """The token that needed another one, from ``first`` to before ``end``; -1 where none is known."""
    end = min(end, len(tokens))
    again = repeat_of(tokens, position, first)
    if again is not None and again.position < end:
        return again.position
    if between is None or first >= end:
        return -1
    given = between.mean[first - 1 : end - 1, position]  # a query predicts the token after it
    return first + int(np.argmax(given)) if given.max() > 0 else -1
