"""Approximate likelihood matching (ALM): spans that two tokenizers share, as events that happen or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity
from analysis.comparison.rules.origin import Origin
from analysis.errors import AnalysisError
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison

ORIGIN = Origin(
    source=titled("alm"),
    formula="P = exp(-sum of surprisals of a span) on either side; KL between the coins (P_A, 1 - P_A) and (P_B, 1 - P_B)",
    known="abstract only",
    note="The paper's temperature and its correction for spans that only one tokenizer may split are not known and not "
    "applied. The coin keeps only whether the text's span came, so its divergence is at most that of whole "
    "distributions over spans.",
    sides="A is the teacher, B the student, each with its own tokenizer.",
)


def coin_kl(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """KL between two coins, from the log-probabilities of one of their faces.

    Parameters
    ----------
    log_p, log_q : numpy.ndarray, shape (n,)
        nats, at most 0.

    Returns
    -------
    numpy.ndarray, shape (n,)
        float64, nats; infinite where q leaves out a face that p has.
    """
    log_p, log_q = (np.minimum(np.asarray(x, np.float64), 0) for x in (log_p, log_q))
    faces = np.exp(log_p), -np.expm1(log_p)
    with np.errstate(divide="ignore", invalid="ignore"):
        gaps = log_p - log_q, np.log(faces[1]) - np.log(-np.expm1(log_q))
        terms = [np.where(face > 0, face * gap, 0) for face, gap in zip(faces, gaps, strict=True)]
    return np.where(log_p == log_q, 0.0, np.maximum(terms[0] + terms[1], 0))


def span_likelihoods(c: Comparison) -> Laid:
    """Likelihood of every common span on either side, and how far the two coins are apart.

    Parameters
    ----------
    c : Comparison
        Any; made for two tokenizers.

    Raises
    ------
    AnalysisError
        If no span was predicted on both sides.
    """
    spans = c.spans
    there = spans.has_context
    if not there.any():
        raise AnalysisError("No span was predicted on both sides.", "Compare a longer text.")
    kl = np.full(len(there), np.nan)
    kl[there] = coin_kl(-spans.surprisal_a[there], -spans.surprisal_b[there])
    change = np.where(there, spans.surprisal_change, np.nan)
    numbers = (
        Number("mean_kl", "mean KL of the coins", float(np.nanmean(kl)), 1),
        Number("surprisal_change", "mean surprisal change", float(np.nanmean(change)), 1),
    )
    quantities = (
        Quantity("coin_kl", "KL of the coins", kl, 1),
        Quantity("surprisal_change", "surprisal change", change, 1),
    )
    more = there & (change > 0)
    return Laid(ORIGIN, quantities, more, "B found it less likely", numbers, over="spans")
