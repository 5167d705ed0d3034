"""How a number is written: three significant digits, thin spaces in thousands."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal

THIN_SPACE = "\u2009"
MINUS = "\u2212"
EXACT_DIGITS = 6
"""Significant digits of a token's own value, here and in the browser's strip."""
_EXACT = Context(prec=EXACT_DIGITS, rounding=ROUND_HALF_UP)


def count(value: int) -> str:
    """Whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", THIN_SPACE).replace("-", MINUS)


def significant(value: float, *, signed: bool = False) -> str:
    """Three significant digits, in plain decimals down to a millionth; "not available" for NaN.

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
    if abs(value) < 1e-6 or abs(value) >= 1e7:
        text = f"{value:+.2e}" if signed else f"{value:.2e}"
    return text.replace(",", THIN_SPACE).replace("-", MINUS)


def short(value: float, *, signed: bool = False) -> str:
    """Up to three significant digits without zeros at the end: an end of a colour scale."""
    if not math.isfinite(value):
        return significant(value, signed=signed)
    rounded = Decimal(f"{abs(value):.3g}")
    sign = MINUS if value < 0 else "+" if signed else ""
    return sign * bool(rounded) + f"{rounded:,f}".replace(",", THIN_SPACE)


def exact(value: float) -> str:
    """Six significant digits, as the strip in the browser writes them.

    Notes
    -----
    The rule is that of ECMAScript's ``toPrecision``: halves go up, and a power of ten is written below 1e-6 and from
    1e6. A browser test holds the two together.
    """
    if not math.isfinite(value):
        return significant(value)
    digits = _EXACT.create_decimal_from_float(abs(float(value)))
    sign, power = MINUS if value < 0 else "", digits.adjusted()
    if -7 < power < EXACT_DIGITS:
        return f"{sign}{digits:.{EXACT_DIGITS - 1 - power}f}"
    mantissa = digits.scaleb(-power)
    return f"{sign}{mantissa:.{EXACT_DIGITS - 1}f}e{'+' if power > 0 else MINUS}{abs(power)}"


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


def estimate(seconds: float) -> str:
    """A time that is not known exactly: "under a second", "about 8 s"."""
    return duration(seconds) if seconds < 1 else f"about {duration(seconds)}"
