"""Draws that are the same in every version of Python and on every machine."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """One stream of draws.

    Only ``random.Random.random`` is used: Python promises that its numbers do not change between versions,
    and promises it of nothing else in that module.

    Parameters
    ----------
    seed : int
        From 0 on.
    """

    def __init__(self, seed: int) -> None:
        self._next = random.Random(seed).random

    def chance(self, probability: float) -> bool:
        """Say yes with this probability."""
        return self._next() < probability

    def below(self, n: int) -> int:
        """Draw one of 0 .. n-1."""
        return int(self._next() * n)

    def between(self, low: int, high: int) -> int:
        """Draw one of low .. high, both included."""
        return low + int(self._next() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """Draw one of the items."""
        return items[int(self._next() * len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in a drawn order (Fisher and Yates)."""
        order = list(items)
        for i in range(len(order) - 1, 0, -1):
            j = int(self._next() * (i + 1))
            order[i], order[j] = order[j], order[i]
        return order
