"""Rows that several processes of a run wrote for one step: their mean, and how far they are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.entropy_collapse.training.logs.raw import Series
from analysis.entropy_collapse.training.logs.settling import in_order

_MANY = 1.5
"""Rows a step from which a log is one of several writers, not one with a few steps written twice."""
_MOST = 0.8
"""Share of steps that then have more than one row."""
_NEAR = 0.02
"""How far back, as a share of all steps, rows of one step may lie behind those of a later one."""


@dataclass(frozen=True, eq=False)
class _Merged:
    series: Series
    rows_a_step: float
    apart: float
    """Largest minus smallest value of a step, mean over the steps with several."""


def mean_over_ranks(
    series: dict[str, Series], at: dict[str, np.ndarray], ranks: np.ndarray | None, entropy: str | None
) -> tuple[dict[str, Series], list[str]]:
    """One value a step where several processes wrote one each.

    Parameters
    ----------
    series, at : dict
        Series of rows, and the row of each value.
    ranks : numpy.ndarray, optional
        The process behind every row, where a key tells.
    entropy : str, optional
        The key whose spread is said.

    Returns
    -------
    dict, list of str
        The series, those with several rows a step merged; what a reader should know.

    Notes
    -----
    The mean is plain: a log does not tell how many tokens each process saw. Without a key
    for the process, rows are merged where most steps have two or more that stand next to
    each other, or nearly so. A run that began again wrote its steps twice as well, but far
    apart: the later rows are kept then, as ever.
    """
    out, notes = {}, []
    for key, own in series.items():
        merged = _by_neighbours(own) if ranks is None else _by_rank(own, ranks[at[key]])
        out[key] = merged.series if merged else own
        if merged and key == entropy:
            writers = "Several rows" if ranks is None else f"{len(np.unique(ranks[at[key]]))} processes"
            notes.append(
                f"{writers} a step ({merged.rows_a_step:.3g} rows on average) are averaged, each with the same "
                f"weight. Their entropies are {merged.apart:.3g} apart on average, largest minus smallest."
            )
    return out, notes


def _by_rank(own: Series, ranks: np.ndarray) -> _Merged | None:
    """Every process settled by itself, then all together."""
    kept = []
    for rank in np.unique(ranks[np.isfinite(ranks)]):
        rows = np.flatnonzero((ranks == rank) & np.isfinite(own.step))
        kept.append(rows[in_order(own.step[rows])[0]])
    together = own.rows(np.sort(np.concatenate(kept))) if kept else own.known
    return _merged(together, np.unique(together.step, return_inverse=True)[1])


def _by_neighbours(own: Series) -> _Merged | None:
    """Rows that several processes wrote without saying which; None where each step has its own row."""
    known = own.known
    steps, group, n = np.unique(known.step, return_inverse=True, return_counts=True)
    if len(known) < _MANY * len(steps):
        return None
    back = -np.diff(known.step).min(initial=0)
    near = max(2 * float(np.median(np.diff(steps))), _NEAR * np.ptp(steps)) if len(steps) > 1 else 0.0
    if back == 0 or (back <= near and back < np.ptp(steps) and (n > 1).mean() >= _MOST):
        return _merged(known, group)
    blocks = np.cumsum(np.append(True, np.diff(known.step) != 0)) - 1
    return _merged(known, blocks) if len(known) >= _MANY * (blocks[-1] + 1) else None


def _merged(own: Series, group: np.ndarray) -> _Merged | None:
    """Mean of each group of rows, in the order of groups; values that are no numbers are left out."""
    n = np.bincount(group)
    if n.max(initial=0) < 2:
        return None
    finite = np.isfinite(own.value)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(group, np.where(finite, own.value, 0.0)) / np.bincount(group, finite)
    lowest, highest = np.full(len(n), np.inf), np.full(len(n), -np.inf)
    np.minimum.at(lowest, group[finite], own.value[finite])
    np.maximum.at(highest, group[finite], own.value[finite])
    several = np.bincount(group, finite) > 1
    apart = float((highest - lowest)[several].mean()) if several.any() else 0.0
    last = np.zeros(len(n), int)
    np.maximum.at(last, group, np.arange(len(group)))
    merged = own.rows(last)
    return _Merged(Series(merged.step, mean, merged.order, own.counter), float(n.mean()), apart)
