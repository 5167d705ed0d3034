"""The time of day as a place in time."""

from __future__ import annotations


def time_order(seconds: float) -> int:
    """Seconds as a whole number that leaves room for a thousand events a microsecond."""
    return round(seconds * 1e6) * 1000
