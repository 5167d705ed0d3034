"""The answer as a strip of tokens, coloured by the entropy before each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.strip import SPECIAL, Strip
from analysis.drawing.theme import amount_ramp
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    from analysis.visual_tokens.answer_pair import AnswerPair
    from analysis.visual_tokens.results import VisualAnswer


def answer_strip(a: VisualAnswer, *, unit: Unit = "nats") -> Strip:
    """Data of the strip of the written tokens.

    Parameters
    ----------
    a : VisualAnswer
    unit : {"nats", "bits"}
        Unit of information.
    """
    tokens = a.tokens
    values = np.asarray(from_nats(tokens.entropy, unit), np.float32)
    known = values[np.isfinite(values)]
    return Strip(
        title="entropy",
        unit=unit,
        values=values,
        cell=tokens.cell,
        cell_text=tokens.cell_text,
        flags=np.where(tokens.is_special, SPECIAL, 0).astype(np.uint8),
        low=0.0,
        high=float(np.ceil(max(float(known.max(initial=0.0)), 1.0))),
        light=amount_ramp("token_entropy", "light"),
        dark=amount_ramp("token_entropy", "dark"),
    )


def pair_strips(pair: AnswerPair, *, unit: Unit = "nats") -> tuple[Strip, Strip]:
    """Data of the strips of two answers, on one scale."""
    a, b = (answer_strip(one, unit=unit) for one in (pair.a, pair.b))
    high = max(a.high, b.high)
    return replace(a, high=high), replace(b, high=high)
