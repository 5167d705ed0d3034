"""One token's story in a sentence or three, made from the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.numbers import count, significant
from analysis.story.numbers import BUDGET, attended_by, forgotten, repeat_of
from analysis.token_entropy.expected import Word, expected_words, percent, probability_of
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    from analysis.attention_sinks.token_attention import TokenAttention
    from analysis.pruning_effects.eviction.survival import Survival
    from analysis.results.trace import Trace
    from analysis.story.numbers import Repeat

_CLEARLY = 1.0
"""Nats by which a surprisal must rise before the story says so."""


def sentence(
    trace: Trace,
    position: int,
    between: TokenAttention | None = None,
    survived: Survival | None = None,
    *,
    unit: Unit = "nats",
) -> tuple[str, ...]:
    """What happened to a token, as far as it is known.

    Parameters
    ----------
    trace : Trace
        The run.
    position : int
        The token.
    between : TokenAttention, optional
        Attention between tokens in this run.
    survived : Survival, optional
        What methods keep of this run's context.
    unit : {"nats", "bits"}
        Unit of surprisals.

    Returns
    -------
    tuple of str
        Pieces in order; texts of tokens are :class:`Word`.
    """
    out: list[str] = list(expected_words(trace.tokens, position))
    again = repeat_of(trace.tokens, position)
    if again is not None:
        out += _again(trace, position, again, between)
    elif between is not None:
        out += _strongest(trace, position, between)
    if survived is not None:
        out += _without(trace, position, between, survived, unit)
    return tuple(out)


def _again(trace: Trace, position: int, again: Repeat, between: TokenAttention | None) -> list[str]:
    """Its repeat: whether the token before that attends, and whether it is expected there."""
    tokens, there = trace.tokens, again.position
    steps = there - position
    far = f" {count(steps)} token{'s' * (steps != 1)} later "
    out: list[str] = [f"{far}the same words return, " if again.words > 1 else f"{far}it comes again, "]
    found = (
        next((x for x in attended_by(trace, between, position).strongest if x.position == there - 1), None)
        if between
        else None
    )
    if found is not None:
        out += [
            "the ", Word(found.name),
            f" before them attends to it with {percent(found.weight)} of head {found.head} in layer {found.layer}, ",
        ]  # fmt: skip
    rank = int(tokens.rank[there])
    named = "the first choice" if rank == 1 else f"choice number {count(rank)}"
    surely = percent(probability_of(tokens, there))
    return [*out, "and ", Word(tokens.text[there]), f" is {named} ({surely})."]


def _strongest(trace: Trace, position: int, between: TokenAttention) -> list[str]:
    strongest = attended_by(trace, between, position).strongest
    if not strongest:
        return []
    found = strongest[0]
    return [
        " It never comes again; ", Word(found.name),
        f" (token {count(found.position)}) attends to it most, with {percent(found.weight)} of head {found.head} "
        f"in layer {found.layer}.",
    ]  # fmt: skip


def _without(
    trace: Trace, position: int, between: TokenAttention | None, survived: Survival, unit: Unit
) -> list[str]:
    """What its eviction does to the token that needed it, where methods lose it."""
    found = forgotten(trace.tokens, survived, position, between)
    if found is None or found.needed < 0:
        return []
    losing = [m.surprisal for m in found.methods if m.survived < 0.5 and np.isfinite(m.surprisal)]
    if not losing:
        return [f" With {100 * BUDGET:g} % of the context kept, every method still holds it."]
    lost = float(np.median(losing))
    comes_back = lost - found.full >= _CLEARLY
    effect = "Evict it, and the surprise comes back" if comes_back else "Evicting it changes little"
    return [
        f" {effect}: ", Word(trace.tokens.text[found.needed]),
        f" (token {count(found.needed)}) goes from {_of(found.full, unit)} to {_of(lost, unit)} {unit}.",
    ]  # fmt: skip


def _of(nats: float, unit: Unit) -> str:
    return significant(from_nats(nats, unit))
