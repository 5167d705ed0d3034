"""How far the answers of many samples agree: entropy over equal answers, votes, and certainty that needs no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError
from analysis.papers.citations import cited
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AnswerEntropy:
    """Entropy over the groups of equal answers of N samples."""

    counts: tuple[int, ...]
    """Samples per group; those without an answer are a group like any other."""
    entropy: float
    """nats, ``-sum (n_c / N) ln (n_c / N)``."""

    @property
    def n(self) -> int:
        """Samples N."""
        return sum(self.counts)

    @property
    def cap(self) -> float:
        """nats, ln N: the most that N samples can show, all different."""
        return float(np.log(self.n))

    @property
    def bias(self) -> float:
        """nats, ``-(K - 1) / 2N`` with K the groups seen: about how far the entropy of counts lies too low.

        The first term only (Miller and Madow): for few samples of many answers it is more.
        """
        return -(len(self.counts) - 1) / (2 * self.n)

    @property
    def majority(self) -> float:
        """Share of the samples in the largest group."""
        return max(self.counts) / self.n

    @property
    def agreement(self) -> float:
        """Share of the pairs of samples that agree; NaN for a single one."""
        pairs = self.n * (self.n - 1)
        return sum(c * (c - 1) for c in self.counts) / pairs if pairs else float("nan")

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row with all of it."""
        import pandas as pd

        of_unit = {name: from_nats(getattr(self, name), unit) for name in ("entropy", "cap", "bias")}
        return pd.DataFrame(
            {
                "samples": [self.n],
                "groups": [len(self.counts)],
                **{f"{name}_{unit}": [value] for name, value in of_unit.items()},
                "majority": [self.majority],
                "agreement": [self.agreement],
            }
        )


def answer_entropy(counts: Sequence[int]) -> AnswerEntropy:
    """Entropy over groups of equal answers.

    Parameters
    ----------
    counts : sequence of int
        Samples per group, each at least 1.

    Raises
    ------
    AnalysisError
        If there are no samples.

    References
    ----------
    The discrete form of semantic entropy (Farquhar et al. 2024, Nature 630) with equal strings in place of equal
    meanings: theirs asks another model which answers mean the same. Paraphrases stay apart here.
    """
    if not len(counts):
        raise AnalysisError("There are no answers.", "Write some samples first.")
    if min(counts) < 1:
        raise ValueError(f"a group has a sample at least, got {list(counts)}")
    return AnswerEntropy(tuple(int(c) for c in counts), _entropy(np.asarray(counts, np.float64)))


def _entropy(mass: np.ndarray) -> float:
    share = mass[mass > 0] / mass.sum()
    return max(0.0, float(-(share * np.log(share)).sum()))


def weighted_answer_entropy(members: Sequence[Sequence[int]], mean_log_probs: Sequence[float]) -> float:
    """Entropy over groups of equal answers, every sample weighted by its probability per token.

    Parameters
    ----------
    members : sequence of sequence of int
        Numbers of the samples in each group.
    mean_log_probs : sequence of float
        nats, one per sample: mean log-probability of its tokens, of the model's own distribution at temperature 1
        whatever it was drawn at.

    Returns
    -------
    float
        nats, ``-sum P_c ln P_c`` with ``P_c`` proportional to the sum of ``exp(mean ln p)`` over the group's samples.

    Raises
    ------
    AnalysisError
        If there are no samples.

    References
    ----------
    Semantic entropy as its released code weights it (Kuhn et al. 2023, arXiv:2302.09664; Farquhar et al. 2024).
    """
    if not len(members) or not len(mean_log_probs):
        raise AnalysisError("There are no answers.", "Write some samples first.")
    logs = np.asarray(mean_log_probs, np.float64)
    weights = np.exp(logs - logs.max())
    return _entropy(np.array([weights[list(group)].sum() for group in members]))


CERTAINTY_SOURCE = (
    f"Self-certainty, {cited('self_certainty')}: KL(uniform || p), mean over the tokens of an answer."
)


def self_certainty(log_probs: np.ndarray) -> np.ndarray:
    """How far a distribution is from the uniform one, seen from there.

    Parameters
    ----------
    log_probs : numpy.ndarray, shape (..., V)
        nats.

    Returns
    -------
    numpy.ndarray, shape (...)
        nats, ``KL(U || p) = -mean_v ln p_v - ln V``: 0 for a uniform p, infinite where a token is impossible. It asks
        for the whole vocabulary: from the most probable tokens alone it cannot be had.

    References
    ----------
    Kang et al. 2025, arXiv:2502.18581, who average it over the tokens of an answer.
    """
    return np.asarray(-log_probs.astype(np.float64).mean(-1) - np.log(log_probs.shape[-1]))


def borda_votes(
    answers: Sequence[str | None], certainty: Sequence[float], power: float = 1.0
) -> dict[str, float]:
    """Votes for every answer, where the surer samples have more.

    Parameters
    ----------
    answers : sequence of str or None
        Normalised; a sample without an answer has no vote and no rank.
    certainty : sequence of float
        One per sample, higher is surer, such as the mean self-certainty of its tokens.
    power : float, default 1
        0 gives every sample one vote.

    Returns
    -------
    dict of str to float
        ``sum (n - r + 1)^power`` over the samples with that answer, r the rank of the sample from 1 by falling certainty
        (of equal ones the earlier first), n the samples that have an answer; most votes first.

    References
    ----------
    Kang et al. 2025, arXiv:2502.18581; from the abstract and secondary sources.
    """
    order = sorted((n for n, answer in enumerate(answers) if answer is not None), key=lambda n: -certainty[n])
    votes: dict[str, float] = {}
    for place, sample in enumerate(order):
        answer = answers[sample]
        assert answer is not None
        votes[answer] = votes.get(answer, 0.0) + float(len(order) - place) ** power
    return dict(sorted(votes.items(), key=lambda vote: -vote[1]))
