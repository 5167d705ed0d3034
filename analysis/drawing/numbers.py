"""How a number is written: three significant digits, thin spaces in thousands."""

from __future__ import annotations

import math

THIN_SPACE = "\u2009"
MINUS = "\u2212"


def count(value: int) -> str:
    """Whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", THIN_SPACE).replace("-", MINUS)


def significant(value: float, *, signed: bool = False) -> str:
    """Three significant digits; "not available" for NaN.

    Parameters
    ----------
    value : float
        Any number.
    signed : bool
        Write a plus sign too.
    """
    if math.isnan(value):
        return "not available"
    if math.isinf(value):
        return f"{'+' if signed and value > 0 else ''}{MINUS if value < 0 else ''}∞"
    if value == 0:
        return "0"
    value = float(f"{value:.2e}") if abs(value) < 100 else value  # first, or 9.999 becomes 10.00
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{round(value, digits):+,.{digits}f}" if signed else f"{round(value, digits):,.{digits}f}"
    if abs(value) < 1e-3 or abs(value) >= 1e7:
        text = f"{value:+.2e}" if signed else f"{value:.2e}"
    return text.replace(",", THIN_SPACE).replace("-", MINUS)


def size(n_bytes: float) -> str:
    """Memory size in MB or GB (powers of ten, as file managers show them)."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= scale:
            return f"{significant(n_bytes / scale)} {unit}"
    return f"{significant(n_bytes / 1e3)} kB"


def duration(seconds: float) -> str:
    """A time a person can plan with: "under a second", "8 s", "3 min 20 s"."""
    if seconds < 1:
        return "under a second"
    if seconds < 60:
        return f"{round(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 10 else f"{minutes} min"
