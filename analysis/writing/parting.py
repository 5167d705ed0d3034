"""Where samples of one prompt part: a tree of their common beginnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Stretch:
    """Consecutive tokens that the same samples share."""

    parent: int | None
    """Number of the stretch before it."""
    at: int
    """Position of its first token among the written ones, from 0."""
    ids: tuple[int, ...]
    """Its tokens; empty only for a beginning that nothing is common to."""
    members: tuple[int, ...]
    """Numbers of the samples that go through it, rising."""
    ends: tuple[int, ...]
    """Those that end with it."""

    @property
    def count(self) -> int:
        """Samples that go through it."""
        return len(self.members)


@dataclass(frozen=True)
class Parting:
    """The tree of N samples; stretch 0 is what all have in common."""

    n: int
    """Samples."""
    stretches: tuple[Stretch, ...]
    """A parent before its children; of children the one with most samples first, of equal ones that of the earliest."""

    @property
    def position(self) -> int | None:
        """First position, among the written tokens, where not all samples have the same token; None if none differ."""
        return None if len(self.stretches) == 1 else len(self.stretches[0].ids)

    def children(self, stretch: int) -> tuple[int, ...]:
        """Numbers of the stretches that follow one."""
        return tuple(n for n, one in enumerate(self.stretches) if one.parent == stretch)

    def alive(self) -> np.ndarray:
        """int64, (longest,): how many different beginnings of length t + 1 there are, over samples that long."""
        longest = max(one.at + len(one.ids) for one in self.stretches)
        different = np.zeros(longest, np.int64)
        for one in self.stretches:
            different[one.at : one.at + len(one.ids)] += 1
        return different

    def to_frame(self) -> pd.DataFrame:
        """One row per stretch."""
        import pandas as pd

        return pd.DataFrame(
            {
                "stretch": range(len(self.stretches)),
                "parent": pd.array([one.parent for one in self.stretches], "Int64"),
                "at": [one.at for one in self.stretches],
                "n_tokens": [len(one.ids) for one in self.stretches],
                "samples": [one.count for one in self.stretches],
                "samples_that_end": [len(one.ends) for one in self.stretches],
                "members": [list(one.members) for one in self.stretches],
            }
        )


def parting(samples: Sequence[Sequence[int] | np.ndarray]) -> Parting:
    """The tree of samples by their ids.

    Parameters
    ----------
    samples : sequence of array of int
        Written ids of every sample, without the prompt; any lengths. One that ends where others go on parts from them there.

    Raises
    ------
    AnalysisError
        If there are no samples.
    """
    if not len(samples):
        raise AnalysisError("There are no samples to compare.", "Write some samples first.")
    rows = [tuple(int(i) for i in sample) for sample in samples]
    done: list[Stretch] = []
    waiting: list[tuple[int | None, int, tuple[int, ...]]] = [(None, 0, tuple(range(len(rows))))]
    while waiting:
        parent, at, members = waiting.pop()
        end = _common(rows, at, members)
        ends = tuple(m for m in members if len(rows[m]) == end)
        done.append(Stretch(parent, at, rows[members[0]][at:end], members, ends))
        children: dict[int, list[int]] = {}
        for member in members:
            if len(rows[member]) > end:
                children.setdefault(rows[member][end], []).append(member)
        here = len(done) - 1
        following = sorted(children.values(), key=lambda group: (-len(group), group[0]))
        waiting += [(here, end, tuple(group)) for group in reversed(following)]
    return Parting(len(rows), tuple(done))


def _common(rows: list[tuple[int, ...]], at: int, members: tuple[int, ...]) -> int:
    """First position from ``at`` on where the members differ, or one of them ends."""
    first, end = rows[members[0]], min(len(rows[m]) for m in members)
    for t in range(at, end):
        if any(rows[m][t] != first[t] for m in members):
            return t
    return end
