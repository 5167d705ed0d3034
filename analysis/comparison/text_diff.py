"""Which tokens of two sequences are the same ones: a longest common subsequence, as stretches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.errors import AnalysisError

_MOST = 1 << 31
"""Pairs of tokens between the common ends: a bit of memory each, 256 MiB."""


def matching_stretches(
    a: Sequence[int] | np.ndarray, b: Sequence[int] | np.ndarray
) -> list[tuple[int, int, int]]:
    """Stretches that two sequences have in common, in order.

    Parameters
    ----------
    a, b : sequence of int
        Tokens of each side, by numbers that mean the same on both.

    Returns
    -------
    list of (int, int, int)
        First position in a, first in b, and how many; each as long as it can be. Together they are a longest common
        subsequence, which of several is not said.

    Raises
    ------
    AnalysisError
        If too much lies between the common beginning and the common end.

    Notes
    -----
    Python's own difflib takes the longest stretch first and never reconsiders: in a text that repeats it pairs
    the wrong repeat.
    """
    from rapidfuzz.distance import Indel

    a, b = np.asarray(a, np.int64), np.asarray(b, np.int64)
    first, last = common_ends(a, b)
    middle_a, middle_b = a[first : len(a) - last], b[first : len(b) - last]
    if len(middle_a) * len(middle_b) > _MOST:
        raise AnalysisError(
            f"The texts differ over {len(middle_a):,} and {len(middle_b):,} tokens, too many to be matched.",
            "Compare shorter texts, or parts of them.",
        )
    blocks = Indel.opcodes(middle_a.tolist(), middle_b.tolist()).as_matching_blocks()
    found = [(0, 0, first), *((first + x.a, first + x.b, x.size) for x in blocks)]
    return list(_joined([*found, (len(a) - last, len(b) - last, last)]))


def common_ends(a: np.ndarray, b: np.ndarray) -> tuple[int, int]:
    """How many entries two sequences have in common at the beginning, and how many of the others at the end."""
    most = min(len(a), len(b))
    first = _agree(a[:most], b[:most])
    return first, _agree(a[::-1][: most - first], b[::-1][: most - first])


def common_end(a: np.ndarray, b: np.ndarray) -> int:
    """How many entries two sequences have in common at the end."""
    return common_ends(a[::-1], b[::-1])[0]


def _agree(a: np.ndarray, b: np.ndarray) -> int:
    other = np.flatnonzero(a != b)
    return int(other[0]) if len(other) else len(a)


def _joined(stretches: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Stretches without empty ones, those that follow on each other on both sides as one."""
    open_: tuple[int, int, int] | None = None
    for i, j, n in stretches:
        if open_ and open_[0] + open_[2] == i and open_[1] + open_[2] == j:
            open_ = open_[0], open_[1], open_[2] + n
        elif n:
            if open_:
                yield open_
            open_ = i, j, n
    if open_:
        yield open_
