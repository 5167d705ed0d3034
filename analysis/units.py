"""Nats and bits: the only place where one becomes the other.

Everything is computed and stored in nats. A figure or a table asks for its unit here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, TypeVar, get_args

Unit = Literal["nats", "bits"]
"""The two units of information the project shows."""

UNITS: tuple[Unit, ...] = get_args(Unit)

Number = TypeVar("Number", float, Any)

BIT = math.log(2)
"""One bit in nats: the largest Jensen-Shannon divergence."""


def from_nats(value: Number, unit: Unit, *, power: int = 1) -> Number:
    """Convert a stored value to the unit a person chose.

    Parameters
    ----------
    value : float or array
        In nats to the given power.
    unit : {"nats", "bits"}
        Unit to convert to.
    power : int, default 1
        1 for entropy and surprisal, 2 for varentropy (nats squared), 0 for
        quantities without a unit, which come back unchanged.

    Returns
    -------
    float or array
        ``value`` for nats, ``value / ln(2) ** power`` for bits.

    Raises
    ------
    ValueError
        If the unit is neither nats nor bits.
    """
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {UNITS}, got {unit!r}")
    return value if unit == "nats" else value / BIT**power


def table_in(frame: Any, columns: Iterable[str], unit: Unit) -> Any:
    """A table whose columns in nats are in a unit, which their new names say; columns it lacks are passed over."""
    there = [column for column in columns if column in frame]
    frame = frame.assign(**{column: from_nats(frame[column], unit) for column in there})
    return frame.rename(columns={column: f"{column}_{unit}" for column in there})


def unit_label(unit: Unit, *, power: int = 1) -> str:
    """Name of the unit as an axis shows it: ``nats``, ``bits²``, or empty for power 0."""
    return {0: "", 1: unit, 2: f"{unit}²"}[power]
