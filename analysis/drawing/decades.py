"""Powers of ten as people write them, for logarithmic axes: 10⁻², 10⁻¹, 1, 10."""

from __future__ import annotations

from math import ceil, floor, isfinite, log10
from typing import Any

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent: int) -> str:
    """Ten to the power of a whole number, in words of an axis."""
    if exponent in (0, 1):
        return "10" if exponent else "1"
    return f"10{str(exponent).translate(_RAISED)}"


def decades(low: float, high: float) -> dict[str, Any]:
    """Ticks and their labels for an axis from one number to a larger one, both above 0.

    Returns
    -------
    dict
        ``values`` and ``labelExpr`` of an Altair axis; empty where there is nothing to draw.
    """
    if not (isfinite(low) and isfinite(high)):
        return {}
    first, last = floor(log10(low)), ceil(log10(high))
    labels = [power_of_ten(k) for k in range(first, last + 1)]
    place = f"round(log(datum.value) / LN10) - ({first})"
    return {"values": [10.0**k for k in range(first, last + 1)], "labelExpr": f"{labels}[{place}]"}
