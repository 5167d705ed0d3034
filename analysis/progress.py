"""Telling how far some work is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the share done (0 to 1) and what is being computed. Raising from it stops the work:
:class:`analysis.errors.Cancelled` is meant for that."""


def silent(_share: float, _what: str) -> None:
    """Progress nobody watches."""


def part(report: Progress, done: float, total: float, *, of: float = 1.0, name: str = "") -> Progress:
    """Progress of one piece of a longer work: its 0 to 1 become ``done`` to ``done + of`` of ``total``.

    The piece's name, if it has one, goes before what is being computed.
    """
    before = f"{name}: " if name else ""
    return lambda share, what: report((done + of * share) / total, f"{before}{what}")
