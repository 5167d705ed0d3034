"""ssToken: tokens worth training on, by what was learnt about them and by attention."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity, answer_from, known, rows_of
from analysis.comparison.rules.origin import Constant, Origin
from analysis.errors import AnalysisError
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison
    from analysis.results.attention import AttentionTrace

GAMMA, KEPT = 0.5, 0.6

ORIGIN = Origin(
    source=titled("sstoken") + " jianke0604/ssToken.",
    formula="score = gamma norm(surprisal_A - surprisal_B) + (1 - gamma) attention; norm goes from 0 at the least "
    "difference of the answer to 1 at the largest; kept: the highest scores",
    known="code read",
    note="Attention is a guess of ours: the code takes what a token of the answer gives to the prompt in the last layer, mean "
    "over heads, and a run keeps no such sums. Here it is what the token receives there, as a share of the most received "
    "in the answer. Without a run's attention, gamma is 1.",
    sides="A is the earlier model, B the one in training.",
    constants=(
        Constant("gamma", "gamma", GAMMA, 0.0, 1.0, 0.05, "", "code read"),
        Constant("kept", "Share kept", KEPT, 0.05, 1.0, 0.05, "", "code read"),
        Constant("first", "First token of the answer", 0, 0, 100_000, 1, "tokens"),
    ),
)


def importance(attention: AttentionTrace) -> np.ndarray:
    """Attention that every token receives in the last layer that has attention, mean over heads, float64, (T,)."""
    return attention.received[-1].mean(0, dtype=np.float64)


def token_selection(c: Comparison, gamma: float = GAMMA, kept: float = KEPT, first: int = 0) -> Laid:
    """Which tokens of an answer would be trained on.

    Parameters
    ----------
    c : Comparison
        Of an earlier and a later state of a model; B's run with attention, or gamma counts as 1.
    gamma : float
        Weight of what was learnt.
    kept : float
        Share that is kept, above 0.
    first : int, default 0
        First token of A that is the answer's.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one, none from ``first`` on, or a constant is outside its range.

    Notes
    -----
    Of equal scores the earlier token is kept.
    """
    if not (0 <= gamma <= 1 and 0 < kept <= 1):
        raise AnalysisError("gamma and the share kept are numbers from 0 to 1.", "Choose from 0 to 1.")
    there = answer_from(c, first)
    learnt = -known(rows_of(c).surprisal_change, there)
    low, high = np.nanmin(learnt), np.nanmax(learnt)
    learnt_share = (learnt - low) / (high - low) if high > low else np.where(there, 0.0, np.nan)
    quantities = [
        Quantity("learnt", "surprisal A − B", learnt, 1),
        Quantity("learnt_share", "the same from 0 to 1", learnt_share),
    ]
    if c.b.attention is None:
        score = learnt_share
    else:
        received = importance(c.b.attention)[c.alignment.pairs[:, 1]]
        share = np.where(there, received / max(float(received[there].max()), 1e-12), np.nan)
        quantities.append(Quantity("attention", "attention received, share of the most", share))
        score = gamma * learnt_share + (1 - gamma) * share
    n_kept = ceil(round(kept * int(there.sum()), 9))
    best = np.argsort(-np.where(there, score, -np.inf), kind="stable")[:n_kept]
    marks = np.zeros(len(there), bool)
    marks[best] = True
    numbers = (
        Number("gamma", "gamma", gamma if c.b.attention is not None else 1.0),
        Number("kept_surprisal", "mean surprisal A − B of those kept", float(learnt[marks].mean()), 1),
        Number("all_surprisal", "of all", float(learnt[there].mean()), 1),
    )
    scored = Quantity("score", "score", score)
    least = float(score[marks].min())
    return Laid(ORIGIN, (scored, *quantities), marks, "kept", numbers, limit=least)
