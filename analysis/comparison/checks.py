"""What a comparison checks about itself: two ways to the same number, and bounds that always hold."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from analysis.comparison.results import ComparedRows, Comparison, VocabularyMatch
from analysis.comparison.two_heads import compare_rows
from analysis.results.trace import Check, Trace
from analysis.units import BIT

if TYPE_CHECKING:
    from analysis.comparison.pairs import PairedStates

CHECKED_ROWS = 8
"""Pairs that are computed a second time."""
_READOUT = 1e-4
"""Nats between two float32 routes to an entropy, as in a run's own check."""


def checks_of_sides(a: Trace, b: Trace) -> tuple[Check, ...]:
    """The checks of both runs, named by their side."""
    return tuple(
        replace(check, name=f"{side}: {check.name}")
        for side, run in (("A", a), ("B", b))
        for check in run.checks
    )


def checks_of_rows(c: Comparison, rows: ComparedRows, pairs: PairedStates) -> tuple[Check, ...]:
    """What is checked about compared distributions.

    Parameters
    ----------
    c : Comparison
        With alignment and vocabulary.
    rows : ComparedRows
        Of the m pairs that had a context.
    pairs : PairedStates
        Those m pairs.
    """
    picked = np.unique(np.linspace(0, len(pairs) - 1, CHECKED_ROWS).astype(int))
    return (
        _with_itself(pairs.some(picked), "A"),
        *_dense(rows, pairs.some(picked), picked, c.vocabulary),
        *_pinsker(rows),
        _bound(
            "Jensen-Shannon divergence is at most ln 2 times the total variation",
            rows.jsd,
            BIT * rows.tv,
            1e-5,
        ),
        _as_measured(c, rows, pairs, "A"),
        _as_measured(c, rows, pairs, "B"),
    )


def _with_itself(pairs: PairedStates, side: str) -> Check:
    """A side with itself: every difference has to be exactly zero."""
    same = VocabularyMatch("identical", "", n_shared=pairs.a.head.vocab_size)
    rows = compare_rows(pairs.a, pairs.a, pairs.targets_a, pairs.targets_a, same, 1, lambda _n: None)
    found = [rows.kl_ab, rows.kl_ba, rows.jsd, rows.tv, rows.entropy_change, rows.surprisal_change]
    error = max(float(np.abs(values).max()) for values in found)
    return Check(f"{side} compared with itself is exactly zero at {len(pairs)} tokens", error, 0.0)


def _dense(
    rows: ComparedRows, pairs: PairedStates, picked: np.ndarray, vocabulary: VocabularyMatch
) -> tuple[Check, ...]:
    """KL of a few pairs as a plain sum in float64; only where ids of A and B are the same ones."""
    if vocabulary.kind != "identical":
        return ()
    log_p, log_q = (
        torch.log_softmax(side.head.logits(side.states).cpu().double(), -1) for side in (pairs.a, pairs.b)
    )
    dense = ((log_p.exp() * (log_p - log_q)).nan_to_num().sum(-1)).numpy()
    error = float(np.abs(dense - rows.kl_ab[picked]).max())
    allowed = 2e-6 + 2e-3 * float(np.abs(dense).max())
    return (Check(f"KL equals a float64 sum at {len(picked)} tokens", error, allowed),)


def _bound(name: str, values: np.ndarray, most: np.ndarray, slack: float) -> Check:
    over = (values.astype(np.float64) - most).max(initial=0.0)
    return Check(name, float(over), slack, "")


def _pinsker(rows: ComparedRows) -> tuple[Check, ...]:
    """The bound that KL of either direction sets to the total variation; not where KL is itself only a lower bound."""
    if rows.at_least:
        return ()
    roots = np.sqrt(np.minimum(rows.kl_ab, rows.kl_ba).astype(np.float64) / 2)
    return (_bound("total variation is at most the root of half the KL", rows.tv, roots, 1e-5),)


def _as_measured(c: Comparison, rows: ComparedRows, pairs: PairedStates, side: str) -> Check:
    """Entropy and surprisal from the kept states against those of the run: a misplaced pair would show."""
    run, at = (c.a, 0) if side == "A" else (c.b, 1)
    where = c.alignment.pairs[pairs.of, at]
    error = 0.0
    for name in ("entropy", "surprisal"):
        measured = getattr(run.tokens, name)[where]
        found = getattr(rows, f"{name}_{side.lower()}")
        error = max(error, float(np.abs(measured.astype(np.float64) - found).max()))
    largest = max(1.0, float(np.max(run.tokens.surprisal[where], initial=0.0)))
    return Check(
        f"{side}: entropy and surprisal are those of its run", error, _READOUT * math.ceil(largest / 10)
    )
