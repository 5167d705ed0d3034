"""Naming and deleting branches. A writing is a value: a changed one is another, which shares what stayed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from analysis.errors import AnalysisError
from analysis.writing.results import Ended

if TYPE_CHECKING:
    from analysis.writing.results import Writing

LONGEST_NAME = 60
"""Characters."""


def rename(writing: Writing, branch: int, name: str) -> Writing:
    """The writing with another name of a branch; spaces around it go, an empty one takes the name away.

    Raises
    ------
    AnalysisError
        If the name is longer than :data:`LONGEST_NAME`.
    """
    name = " ".join(name.split())
    if len(name) > LONGEST_NAME:
        raise AnalysisError(f"The name has {len(name)} characters.", f"Take at most {LONGEST_NAME}.")
    return _with(writing, [branch], name=name)


def ended_as(writing: Writing, branches: Collection[int], ended: Ended) -> Writing:
    """The writing with another reason why some branches end."""
    return _with(writing, branches, ended=ended)


def _with(writing: Writing, branches: Collection[int], **changes: object) -> Writing:
    changed = tuple(replace(b, **changes) if b.id in branches else b for b in writing.branches)  # type: ignore[arg-type]
    return replace(writing, branches=changed)


def leaving(writing: Writing, branch: int) -> tuple[int, ...]:
    """Ids of a branch and of all that leave it or one of these, in order."""
    found = {branch}
    for other in writing.branches:  # a branch comes after the one it leaves
        if other.parent in found:
            found.add(other.id)
    return tuple(sorted(found))


def delete(writing: Writing, branch: int) -> Writing:
    """The writing without a branch and all that leave it.

    The others keep their tokens and numbers; ids are places, so later ones move up.

    Raises
    ------
    AnalysisError
        If nothing would be left.
    """
    gone = set(leaving(writing, branch))
    kept = [b for b in writing.branches if b.id not in gone]
    if not kept:
        raise AnalysisError(
            "This would delete everything that was written.", "Write again, then delete the other branches."
        )
    place = {b.id: i for i, b in enumerate(kept)}
    branches = (
        replace(b, id=place[b.id], parent=None if b.parent is None else place[b.parent]) for b in kept
    )
    return replace(writing, branches=tuple(branches))
