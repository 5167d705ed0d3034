"""Controls: random, first, last and evenly spread units. They know nothing of text or model."""

from __future__ import annotations

import numpy as np

from analysis.pruning_effects.compression.task import Scored, Task


def random(task: Task) -> Scored:
    """Units in random order, another for every seed."""
    return Scored(np.full(len(task.ids), np.nan, np.float32), shuffled=True)


def first(task: Task) -> Scored:
    """The beginning of the text."""
    return Scored(-np.arange(len(task.ids), dtype=np.float32))


def last(task: Task) -> Scored:
    """The end of the text."""
    return Scored(np.arange(len(task.ids), dtype=np.float32))


def every_nth(task: Task) -> Scored:
    """Units at equal distances; chosen by place, see :func:`~.fitting.spread`."""
    return Scored(np.full(len(task.ids), np.nan, np.float32))
