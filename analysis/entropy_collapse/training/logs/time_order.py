"""The time of day as a place in time."""

from __future__ import annotations

_LATEST = 9e9
"""Seconds; later ones, in the year 2255, do not fit."""


def time_order(seconds: float) -> int:
    """Seconds as a whole number that leaves room for a thousand events a microsecond; 0 for no number."""
    within = min(max(seconds, 0.0), _LATEST) if seconds == seconds else 0.0
    return round(within * 1e6) * 1000
