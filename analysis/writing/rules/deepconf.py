"""DeepConf: how sure a stretch of tokens is, how sure the least sure one, and votes weighted by that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError
from analysis.papers.citations import cited
from analysis.results.tokens import printable
from analysis.token_entropy.measures import window_mean
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import pandas as pd

SOURCE = f"DeepConf, {cited('deepconf')}, facebookresearch/deepconf."
KNOWN = (
    "Code read. It averages over the 20 most probable tokens that a server returns (21 where the token that came is not "
    "among them) at temperature 0.6 and top-p 0.95, and rounds to three places; here over those that were stored, at "
    "temperature 1, unrounded. Its stretches have 2,048 tokens: shorter ones are this project's."
)
TOP_K = 20
"""Most probable tokens whose log-probabilities are averaged."""
WINDOW = 2048
"""Tokens of a stretch."""
WARM_UP = 16
"""Samples that set the threshold."""
PERCENTILE = 90.0
"""Of their least stretches: the threshold."""


def token_confidence(top_logprobs: np.ndarray, k: int = TOP_K) -> np.ndarray:
    """``-mean ln p`` over the k most probable tokens, or as many as are stored.

    Parameters
    ----------
    top_logprobs : numpy.ndarray, shape (T, n)
        nats, best first; NaN rows have no context.
    k : int, default 20
        Tokens to average.

    Returns
    -------
    numpy.ndarray, shape (T,)
        nats, higher is surer, since then the others are less probable; at least the log of the number averaged.
    """
    return np.asarray(-top_logprobs[:, :k].astype(np.float64).mean(-1))


@dataclass(frozen=True)
class Confidence:
    """Confidence along one sample."""

    token: np.ndarray
    """float64, (T,), nats: of every token; NaN without context."""
    group: np.ndarray
    """float64, (T,), nats: mean of the stretch that ends with the token; NaN before the first whole one. A sample shorter
    than one is one stretch."""
    width: int
    """Tokens of a stretch, as asked for."""
    k: int
    """Tokens that were averaged; 20 in the paper."""
    source: str = SOURCE
    known: str = KNOWN

    @property
    def least(self) -> float:
        """nats: of the least sure stretch, the sample's weight in a vote."""
        return float(np.nanmin(self.group))

    @property
    def least_stretch(self) -> tuple[int, int]:
        """First token of the least sure stretch and one past the last; of equal ones the first."""
        end = int(np.nanargmin(self.group)) + 1
        known = np.flatnonzero(~np.isnan(self.token))
        first = max(end - self.width, int(known[0]))
        return first, end

    @property
    def positions(self) -> tuple[int, ...]:
        """Tokens of the least sure stretch."""
        return tuple(range(*self.least_stretch))

    @property
    def tail(self) -> float:
        """nats: of the last stretch."""
        return float(self.group[~np.isnan(self.group)][-1])

    def stops_at(self, threshold: float) -> int | None:
        """Token with which the rule would stop the sample: the first stretch below a threshold; None if none is."""
        below = np.flatnonzero(self.group < threshold)
        return int(below[0]) if len(below) else None

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per token."""
        import pandas as pd

        columns = {f"confidence_{unit}": self.token, f"stretch_{unit}": self.group}
        values = {name: from_nats(value, unit) for name, value in columns.items()}
        return pd.DataFrame({"position": np.arange(len(self.token)), **values})


def confidence(top_logprobs: np.ndarray, width: int = WINDOW, k: int = TOP_K) -> Confidence:
    """Confidence of the tokens of one sample and of stretches of it.

    Parameters
    ----------
    top_logprobs : numpy.ndarray, shape (T, n)
        nats, best first; NaN rows, which have no context, may only come first.
    width : int, default 2048
        Tokens of a stretch.
    k : int, default 20
        As for :func:`token_confidence`.

    Raises
    ------
    AnalysisError
        If no token has probabilities.
    """
    token = token_confidence(top_logprobs, k) if len(top_logprobs) else np.zeros(0)
    known = np.flatnonzero(~np.isnan(token))
    if not len(known):
        raise AnalysisError("No token has probabilities.", "Write or paste a text of two tokens or more.")
    group = np.full(len(token), np.nan)
    if len(known) < width:
        group[known[-1]] = token[known].mean()
    else:
        means = window_mean(token, width)
        group[width - 1 :] = means[: len(token) - width + 1]
    return Confidence(token, group, width, min(k, top_logprobs.shape[1]))


def threshold(least: Sequence[float], percentile: float = PERCENTILE) -> float:
    """Confidence below which a sample would be stopped: a percentile of the warm-up samples' least stretches, nats."""
    if not len(least):
        raise AnalysisError("There are no samples to set a threshold.", "Write some samples first.")
    return float(np.percentile(np.asarray(least, np.float64), percentile))


@dataclass(frozen=True)
class Vote:
    """Votes for every answer."""

    weights: dict[str, float]
    """Sum of the weights of the samples with an answer, most first."""
    counts: dict[str, int]
    """Samples with it."""
    n_without: int
    """Samples without an answer: they have no vote."""
    source: str = SOURCE
    known: str = KNOWN

    @property
    def winner(self) -> str | None:
        """The answer with most weight; of equal ones the one that came first; None if no sample has an answer."""
        return next(iter(self.weights), None)

    def to_frame(self) -> pd.DataFrame:
        """One row per answer."""
        import pandas as pd

        counts = [self.counts[answer] for answer in self.weights]
        return pd.DataFrame(
            {
                "answer": [printable(answer) for answer in self.weights],
                "weight": list(self.weights.values()),
                "samples": counts,
            }
        )


def weighted_vote(answers: Sequence[str | None], weights: Sequence[float]) -> Vote:
    """Vote on normalised answers, each sample with its weight, such as :attr:`Confidence.least`.

    Raises
    ------
    AnalysisError
        If there are no samples.
    """
    if not len(answers):
        raise AnalysisError("There are no samples to vote.", "Write some samples first.")
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for answer, weight in zip(answers, weights, strict=True):
        if answer is not None:
            sums[answer] = sums.get(answer, 0.0) + float(weight)
            counts[answer] = counts.get(answer, 0) + 1
    most_first = dict(sorted(sums.items(), key=lambda vote: -vote[1]))
    return Vote(most_first, counts, sum(answer is None for answer in answers))
