"""The numbers that quantisers publish, under their names: rows of llama.cpp's ``perplexity --kl-divergence``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.summary import Summary, Wanted, mean, quantile, root_mean_square, summarised
from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison

SOURCE = (
    "Rows and names of llama.cpp's perplexity tool with --kl-divergence, A as its base. Here over every token with a "
    "context, where it takes the second half of each window; exact, where it keeps the base's log-probabilities in "
    "16-bit steps down to 16 below the largest; with intervals of a block bootstrap, where it treats tokens as "
    "independent."
)
KLD_QUANTILES = (0.999, 0.99, 0.95, 0.9, 0.5, 0.1, 0.05, 0.01, 0.001)
PROB_QUANTILES = (0.999, 0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.01, 0.001)


def published_rows(c: Comparison) -> Summary:
    """Statistics of a quantisation as they are published.

    Parameters
    ----------
    c : Comparison
        A is the base, B the quantised side.

    Returns
    -------
    Summary
        Names and order of the tool's rows; probabilities as shares of 1, where it prints per cent.

    Raises
    ------
    AnalysisError
        If the distributions were not compared.

    References
    ----------
    :data:`SOURCE`.
    """
    if c.rows is None:
        raise AnalysisError(
            f"The sides' distributions were not compared. {c.unavailable.get('rows', '')}".strip(),
            "Choose sides with one vocabulary.",
        )
    if c.rows.at_least:
        raise AnalysisError(
            "The sides have other ids, so every KL is a lower bound.", "Choose two sides of one vocabulary."
        )
    return Summary(tuple(summarised([*_perplexities(c), *_divergences(c), *_probabilities(c)])))


def _perplexities(c: Comparison) -> Iterator[Wanted]:
    assert c.rows is not None
    known = c.rows.has_context
    base, other = (s[known].astype(np.float64) for s in (c.rows.surprisal_a, c.rows.surprisal_b))
    both, change = np.stack([base, other]), other - base
    said = "exp of the mean surprisal."
    yield Wanted("Mean PPL(Q)", "perplexity of B", "", said, other, _perplexity)
    yield Wanted("Mean PPL(base)", "perplexity of A", "", said, base, _perplexity)
    yield Wanted(
        "Cor(ln(PPL(Q)), ln(PPL(base)))",
        "correlation of the surprisals",
        "",
        "Pearson's.",
        both,
        _correlation,
    )
    yield Wanted("Mean ln(PPL(Q)/PPL(base))", "change of surprisal, mean", "nats", "B less A.", change, mean)
    yield Wanted("Mean PPL(Q)/PPL(base)", "perplexity of B over A", "", "exp of that.", change, _perplexity)
    yield Wanted(
        "Mean PPL(Q)-PPL(base)", "perplexity of B less A", "", "Of the whole text.", both, _difference
    )


def _divergences(c: Comparison) -> Iterator[Wanted]:
    assert c.rows is not None
    kld = c.rows.kl_ab[c.rows.has_context].astype(np.float64)
    said = "KL(A‖B): the base is the truth."
    yield Wanted("Mean KLD", "KL(A‖B), mean", "nats", said, kld, mean)
    yield from _quantiles("KLD", "KL(A‖B)", "nats", said, kld, KLD_QUANTILES)


def _probabilities(c: Comparison) -> Iterator[Wanted]:
    assert c.rows is not None
    known = c.rows.has_context
    change = c.rows.prob_change[known].astype(np.float64)
    said = "Probability of the text's token on side B less that on side A."
    yield Wanted("Mean Δp", "change of probability, mean", "share", said, change, mean)
    yield from _quantiles("Δp", "change of probability", "share", said, change, PROB_QUANTILES)
    yield Wanted(
        "RMS Δp", "change of probability, root of mean square", "share", said, change, root_mean_square
    )
    same = 1 - c.rows.first_differs[known].astype(np.float64)
    yield Wanted(
        "Same top p",
        "same first choice",
        "share",
        "Tokens before which both would choose the same.",
        same,
        mean,
    )


def _quantiles(
    name: str, label: str, unit: str, said: str, values: np.ndarray, quantiles: tuple[float, ...]
) -> Iterator[Wanted]:
    """Largest, quantiles in falling order, smallest; the ends have no interval."""
    yield Wanted(f"Maximum {name}", f"{label}, largest", unit, said, values, quantile(1), has_interval=False)
    for q in quantiles:
        shown = f"Median {name}" if q == 0.5 else f"{100 * q:.1f}% {name}"
        yield Wanted(shown, f"{label}, {100 * q:g} % quantile", unit, said, values, quantile(q))
    yield Wanted(f"Minimum {name}", f"{label}, smallest", unit, said, values, quantile(0), has_interval=False)


def _perplexity(samples: np.ndarray) -> np.ndarray:
    return np.exp(mean(samples))


def _difference(samples: np.ndarray) -> np.ndarray:
    base, other = samples
    return np.asarray(_perplexity(other) - _perplexity(base))


def _correlation(samples: np.ndarray) -> np.ndarray:
    """Pearson's correlation; NaN where one of the two does not vary."""
    base, other = (part - part.mean(-1, keepdims=True) for part in samples)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (base * other).sum(-1) / np.sqrt(np.square(base).sum(-1) * np.square(other).sum(-1))
    return np.asarray(found)
