"""Series that different counters count, put together by order in time, or not at all.

slime counts what it learns in updates and what it is rewarded for in rollouts, several
updates each: update 40 and rollout 40 are hours apart.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from analysis.entropy_collapse.training.logs.raw import NAMELESS, Series

Place = Literal["first", "before"]
"""Where a value stands: at the first row logged together with it, or at the last one before it."""
_MOST = 0.8
"""Share of groups that must have rows of both series for a pairing."""


def count_alike(one: Series, other: Series) -> bool:
    """Whether two series of one log are counted by the same counter.

    The counter's name tells. Where the format has none, as in an event file, the order in
    time does: if most of the second series' steps are not between those that the first had
    just before and just after them, give or take two strides, there were two counters. Series
    that were written one after the other tell nothing and pass.
    """
    if one.counter != other.counter or one.counter not in NAMELESS:
        return one.counter == other.counter
    if one.order is None or other.order is None or min(len(one.known), len(other.known)) < 3:
        return True
    one, other = _by_time(one.known), _by_time(other.known)
    own, others = _order(one), _order(other)
    inside = (others > own[0]) & (others < own[-1])
    if inside.mean() < 0.5:
        return True
    slack = 2 * max(_stride(one.step), _stride(other.step))
    after = np.clip(np.searchsorted(own, others), 1, len(one) - 1)
    low, high = np.sort([one.step[after - 1], one.step[after]], axis=0)
    apart = (other.step < low - slack) | (other.step > high + slack)
    return bool(apart[inside].mean() <= 0.5)


def _stride(step: np.ndarray) -> float:
    forward = np.diff(step)
    forward = forward[forward > 0]
    return float(np.median(forward)) if len(forward) else 0.0


def in_time(other: Series, clock: Series, place: Place = "first") -> Series | None:
    """A series at the steps of another counter, by which was logged together with which.

    Parameters
    ----------
    other : Series
        Counted by its own counter.
    clock : Series
        Whose steps are wanted.
    place : {"first", "before"}
        Where a value stands among several steps of ``clock``: a rollout is made by the policy
        before the first update that learns from it, an evaluation after the last one before it.

    Returns
    -------
    Series or None
        ``other`` with the steps of ``clock``. None if nothing tells: no order is known, or the
        two were not written in turns.

    Notes
    -----
    Each row of the rarer series stands for a group of rows of the other. If the log begins
    with a whole group, the rarer rows close their groups, else they open them. Where
    ``clock`` is the rarer, the values of a group are averaged.
    """
    if other.order is None or clock.order is None or not len(other.known) or not len(clock.known):
        return None
    other, clock = _by_time(other.known), _by_time(clock.known)
    if place == "before":
        at = np.maximum(0, np.searchsorted(_order(clock), _order(other), side="right") - 1)
        if len(np.unique(at)) < _MOST * len(at):
            return None
        return Series(clock.step[at], other.value, other.order, clock.counter)
    dense = len(clock) >= len(other)
    rare, many = (other, clock) if dense else (clock, other)
    group = _groups(rare, many)
    inside = (group >= 0) & (group < len(rare))
    rows, group = np.flatnonzero(inside), group[inside]
    met, first, n = np.unique(group, return_index=True, return_counts=True)
    if len(met) < _MOST * len(rare):
        return None
    if dense:
        return Series(clock.step[rows[first]], other.value[met], _order(other)[met], clock.counter)
    mean = np.bincount(group, other.value[rows])[met] / n
    return Series(clock.step[met], mean, _order(clock)[met], clock.counter)


def _groups(rare: Series, many: Series) -> np.ndarray:
    """The row of ``rare`` that each row of ``many`` belongs to; -1 or one too many outside."""
    before = np.searchsorted(_order(many), _order(rare), side="left")
    whole = float(np.median(np.diff(before))) if len(rare) > 1 else 1.0
    if before[0] >= whole:
        return np.searchsorted(_order(rare), _order(many), side="left")
    return np.searchsorted(_order(rare), _order(many), side="right") - 1


def _by_time(own: Series) -> Series:
    return own.rows(np.argsort(_order(own), kind="stable"))


def _order(own: Series) -> np.ndarray:
    assert own.order is not None
    return own.order
