"""Both texts token under token, and between them what changed, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.items import Items, items_of
from analysis.comparison.quantities import (
    COMPARED_QUANTITIES,
    ComparedQuantity,
    last_colour,
    quantities_between,
)
from analysis.drawing.labels import visible
from analysis.drawing.numbers import exact
from analysis.drawing.strip import ABSENT, MARKED, SPECIAL, Strip
from analysis.drawing.theme import RAMP_STEPS, amount_ramp, ramp_through, signed_ramp, theme
from analysis.errors import AnalysisError
from analysis.results.token_quantities import TOKEN_QUANTITIES
from analysis.units import Unit, from_nats, unit_label

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison
    from analysis.results.tokens import TokenTrace

OTHER_CHOICE = "another first choice"


@dataclass(frozen=True, eq=False)
class TwinStrip:
    """Two strips of the same cells, on one scale, and a third of their difference."""

    a: Strip
    b: Strip
    change: Strip
    items: Items


def twin_strip(
    c: Comparison,
    quantity: str = "surprisal_change",
    *,
    unit: Unit = "nats",
    items: Items | None = None,
) -> TwinStrip:
    """Data of both strips and of the row of differences.

    Parameters
    ----------
    c : Comparison
        Two sides.
    quantity : str
        One of :data:`analysis.comparison.quantities.COMPARED_QUANTITIES`.
    unit : {"nats", "bits"}
        Unit of information.
    items : Items, optional
        Of this comparison, where they are at hand.

    Raises
    ------
    AnalysisError
        If it cannot be said of these sides, such as a divergence over two vocabularies.
    """
    declared = COMPARED_QUANTITIES[quantity]
    if quantity not in quantities_between(c):
        why = c.unavailable.get("rows", "")
        raise AnalysisError(f"These sides have no {declared.label}.", why or "Compare surprisal or entropy.")
    items = items_of(c) if items is None else items
    a, b = side_values(c, items, declared.side, unit)
    high = (
        float(np.log10(c.a.spec.vocab_size))
        if declared.side == "rank"
        else last_colour(np.concatenate([a, b]), np.ceil)
    )
    name = TOKEN_QUANTITIES[declared.side]
    upper = Strip(
        title=f"A and B: {name.label}",
        unit=name.drawn_unit or unit_label(unit, power=name.power),
        values=a,
        cell=items.column,
        cell_text=items.text_a,
        flags=_flags(c.a.tokens, items.start_a, items.has_a),
        low=0.0,
        high=high or 1.0,
        light=amount_ramp("token_entropy", "light"),
        dark=amount_ramp("token_entropy", "dark"),
        missing="no context, or on one side only",
    )
    lower = replace(
        upper, values=b, cell_text=items.text_b, flags=_flags(c.b.tokens, items.start_b, items.has_b)
    )
    return TwinStrip(upper, lower, _change_strip(c, items, declared, unit), items)


def side_values(c: Comparison, items: Items, side: str, unit: Unit) -> tuple[np.ndarray, np.ndarray]:
    """What colours A and B, float32, (n,) each: of an item of several tokens their sum; NaN where a side has none."""
    out = []
    quantity = TOKEN_QUANTITIES[side]
    for trace, start, end, letter in (
        (c.a, items.start_a, items.end_a, "a"),
        (c.b, items.start_b, items.end_b, "b"),
    ):
        values = _summed(quantity.colour_values(trace.tokens, "nats"), start, end)
        if side == "rank":
            values[end - start > 1] = np.nan
        elif c.rows is not None:
            compared = items.row >= 0
            values[compared] = getattr(c.rows, f"{side}_{letter}")[items.row[compared]]
        out.append(from_nats(values, unit, power=quantity.power).astype(np.float32))
    return out[0], out[1]


def change_values(c: Comparison, items: Items, declared: ComparedQuantity, unit: Unit) -> np.ndarray:
    """The quantity at every item, float32, (n,); NaN where nothing is compared."""
    of, number = (c.spans, items.span) if c.rows is None else (c.rows, items.row)
    out = np.full(len(items), np.nan, np.float32)
    out[number >= 0] = declared.values(of, unit)[number[number >= 0]]
    return out


def _change_strip(c: Comparison, items: Items, declared: ComparedQuantity, unit: Unit) -> Strip:
    """The row below: a change to both sides of 0, or a divergence from 0 up in ink."""
    values = change_values(c, items, declared, unit)
    high = last_colour(values)
    other = np.zeros(len(items), np.uint8)
    if c.rows is not None:
        other[items.row >= 0] = c.rows.first_differs[items.row[items.row >= 0]] == 1
    at_least = "at least " if c.rows is not None and c.rows.at_least and not declared.signed else ""
    return Strip(
        title=f"Δ: {at_least}{declared.label}",
        unit=declared.unit_name(unit),
        values=values,
        cell=items.column,
        cell_text=items.text_a,
        flags=other * MARKED,
        low=-high if declared.signed else 0.0,
        high=high,
        light=_ramp(declared, "light"),
        dark=_ramp(declared, "dark"),
        missing="not compared",
        marked=OTHER_CHOICE if other.any() else "",
        details=_said(c, items, unit),
    )


def _ramp(declared: ComparedQuantity, theme_name: str) -> np.ndarray:
    colours = theme(theme_name)
    return (
        signed_ramp(colours.name)
        if declared.signed
        else ramp_through([colours.panel, colours.ink], RAMP_STEPS)
    )


def _flags(tokens: TokenTrace, start: np.ndarray, has: np.ndarray) -> np.ndarray:
    special = np.zeros(len(has), bool)
    special[has] = tokens.is_special[start[has]]
    return (special * SPECIAL + ~has * ABSENT).astype(np.uint8)


def _summed(values: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Sum over the tokens of each item; NaN for none."""
    out = np.full(len(start), np.nan)
    one = end - start == 1
    out[one] = values[start[one]]
    for k in np.flatnonzero(end - start > 1):
        out[k] = values[start[k] : end[k]].sum()
    return out


def _said(c: Comparison, items: Items, unit: Unit) -> tuple[str, ...]:
    """Which tokens an item is on both sides, a line each, for the hover."""
    out = []
    for k, (a, stop_a, b, stop_b) in enumerate(
        zip(*(x.tolist() for x in (items.start_a, items.end_a, items.start_b, items.end_b)), strict=True)
    ):
        lines = [
            f"{side}: {_tokens(trace.tokens, first, stop)}"
            for side, trace, first, stop in (("A", c.a, a, stop_a), ("B", c.b, b, stop_b))
        ]
        if c.rows is not None and items.row[k] >= 0 and c.rows.has_context[items.row[k]]:
            lines.append(f"KL(A‖B) {exact(float(from_nats(float(c.rows.kl_ab[items.row[k]]), unit)))} {unit}")
        out.append("\n".join(lines))
    return tuple(out)


def _tokens(tokens: TokenTrace, first: int, stop: int) -> str:
    if stop == first:
        return "nothing here"
    words = " ".join(f"“{visible(text)}”" for text in tokens.text[first:stop])
    return f"token {first} {words}" if stop == first + 1 else f"tokens {first} to {stop - 1} {words}"
