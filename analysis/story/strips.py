"""The text of the overview, coloured by one of four numbers, the tokens that attend to the chosen one underlined."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from analysis.attention_sinks.figures import received_strip
from analysis.drawing.strip import SPAN, SPECIAL, Strip
from analysis.drawing.theme import amount_ramp
from analysis.story.numbers import BUDGET
from analysis.token_entropy.strips import entropy_strip
from analysis.units import Unit

if TYPE_CHECKING:
    from analysis.attention_sinks.token_attention import TokenAttention
    from analysis.pruning_effects.eviction.survival import Survival
    from analysis.results.trace import Trace

Colour = Literal["entropy", "surprisal", "attention received", "kept"]
COLOURS: tuple[Colour, ...] = get_args(Colour)
TITLE = "The text, token by token"


def story_strip(
    trace: Trace, colour: Colour = "entropy", survived: Survival | None = None, *, unit: Unit = "nats"
) -> Strip:
    """Data of the strip.

    Parameters
    ----------
    trace : Trace
        The run; "attention received" needs its attention.
    colour : str
        One of :data:`COLOURS`. "kept": share of the caches that hold a token when 30 % of the context is kept, mean
        over the methods that can keep so little; nothing where it is not known.
    survived : Survival, optional
        What methods keep of this run's context.
    unit : {"nats", "bits"}
        Unit of information.

    Raises
    ------
    ValueError
        For another colour, or a run without attention where it is needed.
    """
    if colour not in COLOURS:
        raise ValueError(f"colour must be one of {COLOURS}, got {colour!r}")
    if colour == "attention received":
        strip = received_strip(trace)
    elif colour == "kept":
        strip = _kept_strip(trace, survived)
    else:
        strip = entropy_strip(trace.tokens, colour, unit=unit, vocab_size=trace.spec.vocab_size)
    return replace(strip, title=TITLE)


def _kept_strip(trace: Trace, survived: Survival | None) -> Strip:
    tokens = trace.tokens
    values = np.full(len(tokens), np.nan, np.float32)
    missing, unit = "not known", "of the caches"
    if survived is not None:
        share = survived.kept[survived.at(BUDGET)]
        values[: survived.n_context] = survived.mean_at(BUDGET)
        missing, unit = "after the cut", f"of the caches, {100 * share:g} % kept"
    return Strip(
        title=TITLE,
        unit=unit,
        values=values,
        cell=tokens.cell,
        cell_text=tokens.cell_text,
        flags=tokens.is_special.astype(np.uint8) * SPECIAL,
        low=0.0,
        high=1.0,
        light=amount_ramp("pruning_effects", "light"),
        dark=amount_ramp("pruning_effects", "dark"),
        missing=missing,
    )


def with_attending(strip: Strip, between: TokenAttention, token: int) -> Strip:
    """The strip with the tokens underlined that attend to one of them most, mean over heads."""
    flags = strip.flags.copy()
    flags[between.attending_to(token)] |= SPAN
    return replace(strip, flags=flags, span="attends to the chosen token most")
