"""Controls: random, first, last and evenly spread units. They know nothing of text or model."""

from __future__ import annotations

import numpy as np

from analysis.pruning_effects.compression.passage import Passage, Scored


def random(passage: Passage) -> Scored:
    """Units in random order, another for every seed."""
    return Scored(np.full(len(passage.ids), np.nan, np.float32), shuffled=True)


def first(passage: Passage) -> Scored:
    """The beginning of the text."""
    return Scored(-np.arange(len(passage.ids), dtype=np.float32))


def last(passage: Passage) -> Scored:
    """The end of the text."""
    return Scored(np.arange(len(passage.ids), dtype=np.float32))


def every_nth(passage: Passage) -> Scored:
    """Units at equal distances; chosen by place, see :func:`~.fitting.spread`."""
    return Scored(np.full(len(passage.ids), np.nan, np.float32))
