"""A rule laid over the text of a side: its number as colour, what it acts at as marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from analysis.comparison.rules.laid import Laid
from analysis.drawing.strip import MARKED, SPECIAL, Strip
from analysis.drawing.theme import amount_ramp, signed_ramp
from analysis.units import Unit, from_nats, unit_label

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison

_PERCENTILE = 98
"""Of the sizes: the last colour, so that one large value does not pale the others."""


def laid_strip(c: Comparison, laid: Laid, side: Literal["a", "b"] = "a", *, unit: Unit = "nats") -> Strip:
    """Data of the strip of a rule.

    Parameters
    ----------
    c : Comparison
        What the rule was laid over.
    laid : Laid
        The rule.
    side : {"a", "b"}
        Whose tokens are drawn.
    unit : {"nats", "bits"}
        Unit of information.

    Notes
    -----
    Tokens of one span have the span's number. Those that the other side does not have, have none.
    """
    tokens = (c.a if side == "a" else c.b).tokens
    drawn = laid.quantities[0]
    values = laid.at_tokens(c, side, drawn.values)
    sizes = np.abs(values[np.isfinite(values)])
    high = float(np.percentile(sizes, _PERCENTILE)) if len(sizes) else 1.0
    high = float(from_nats(high if high > 0 else 1.0, unit, power=drawn.power))
    signed = bool((values < 0).any())
    return Strip(
        title=drawn.label,
        unit=unit_label(unit, power=drawn.power),
        values=from_nats(values, unit, power=drawn.power).astype(np.float32),
        cell=tokens.cell,
        cell_text=tokens.cell_text,
        flags=(tokens.is_special * SPECIAL + laid.on(c, side) * MARKED).astype(np.uint8),
        low=-high if signed else 0.0,
        high=high,
        light=signed_ramp("light") if signed else amount_ramp("attention_sinks", "light"),
        dark=signed_ramp("dark") if signed else amount_ramp("attention_sinks", "dark"),
        missing="not compared",
        marked=laid.marked,
    )
