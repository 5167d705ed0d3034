"""Acceptance of speculative drafts by how sure the draft model was: after DySpec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Curve, Laid, Line, Number, Quantity, known, rows_of
from analysis.comparison.rules.origin import Origin
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison

PROBABILITIES = np.linspace(0, 1, 11)
"""Edges of the bins of draft probability."""
ENTROPY_BINS = 8
"""Bins of entropy, with as many tokens in each."""

ORIGIN = Origin(
    source=titled("dyspec"),
    formula="a drafted token x is accepted with min(1, q(x) / p(x)); averaged over draws of x from p, by bins of p(x), and "
    "over all x, 1 - TV, by bins of the entropy of p",
    known="abstract only",
    note="The abstract says that a draft token with a higher probability is accepted more often, and builds its tree by "
    "that. Here the claim is looked at: drafts are A's most probable tokens that were kept, each weighted by its "
    "probability, so the lowest bin lacks the many improbable tokens. Edges are ours.",
    sides="A drafts, B accepts.",
)


def mean_by_bin(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted means within bins.

    Parameters
    ----------
    x, y, weight : numpy.ndarray, shape (m,)
        What is binned, what is averaged, and by which weight.
    edges : numpy.ndarray, shape (b + 1,)
        Rising; the last bin holds its upper edge.

    Returns
    -------
    centre, mean, total : numpy.ndarray, shape (b,)
        Mean of x, mean of y, and weight; means are NaN in an empty bin.
    """
    bins = len(edges) - 1
    where = np.clip(np.searchsorted(edges, x, "right") - 1, 0, bins - 1)
    total = np.bincount(where, weight, bins)
    there = np.where(total > 0, total, np.nan)
    centre = np.bincount(where, weight * x, bins) / there
    return centre, np.bincount(where, weight * y, bins) / there, total


def acceptance(c: Comparison) -> Laid:
    """Acceptance of A's drafts by B, by A's entropy and by the probability that A gave them.

    Parameters
    ----------
    c : Comparison
        Of a draft model and a target.

    Raises
    ------
    AnalysisError
        If tokens were not compared one to one.
    """
    rows = rows_of(c)
    there = rows.has_context
    whole = 1 - known(rows.tv, there)
    entropy = known(rows.entropy_a, there)
    first = np.exp(known(rows.top_logprobs_a[:, 0], there))
    sure = there & (first >= 0.9)
    numbers = (
        Number("acceptance", "mean acceptance", float(np.nanmean(whole))),
        Number(
            "when_sure",
            "where A gives 0.9 or more to a token",
            float(whole[sure].mean()) if sure.any() else float("nan"),
        ),
    )
    quantities = (
        Quantity("acceptance", "acceptance", whole),
        Quantity("draft_probability", "probability of A's first choice", first),
        Quantity("draft_entropy", "entropy of A", entropy, 1),
    )
    return Laid(
        ORIGIN, quantities, sure, "A gives 0.9 or more", numbers, curves=(by_entropy(c), by_probability(c))
    )


def by_probability(c: Comparison) -> Curve:
    """Mean acceptance over the probability that A gave a draft, every draft as often as A would make it.

    Parameters
    ----------
    c : Comparison
        Of a draft model and a target.
    """
    rows = rows_of(c)
    there = rows.has_context
    log_p, log_q = (x[there].astype(np.float64) for x in (rows.top_logprobs_a, rows.top_a_in_b))
    drafted = ~np.isnan(log_p + log_q)
    p = np.exp(log_p[drafted])
    ratio = np.exp(np.minimum(log_q[drafted] - log_p[drafted], 0))
    centre, accepted, total = mean_by_bin(p, ratio, p, PROBABILITIES)
    filled = total > 0
    line = Line("drafts of A", centre[filled], accepted[filled])
    return Curve("probability under A", "acceptance by B", (line,))


def by_entropy(c: Comparison, bins: int = ENTROPY_BINS) -> Curve:
    """Mean acceptance over the draft model's entropy, in bins of as many tokens each.

    Parameters
    ----------
    c : Comparison
        Of a draft model and a target.
    bins : int, default 8
        Fewer where there are fewer tokens.
    """
    rows = rows_of(c)
    there = rows.has_context
    entropy, accepted = rows.entropy_a[there].astype(float), 1 - rows.tv[there].astype(float)
    edges = np.unique(np.quantile(entropy, np.linspace(0, 1, bins + 1)))
    if len(edges) == 1:
        edges = np.array([edges[0], edges[0] + 1e-6])
    centre, mean, total = mean_by_bin(entropy, accepted, np.ones(len(entropy)), edges)
    filled = total > 0
    line = Line("tokens of the text", centre[filled], mean[filled])
    return Curve("entropy of A", "acceptance by B", (line,), x_power=1)
