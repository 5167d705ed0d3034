"""What a set of answers shows: how often right, how many ways, how spread. Plain numpy."""

from __future__ import annotations

from collections import Counter
from math import comb, log

import numpy as np


def pass_at(k: int, right: np.ndarray) -> float:
    """Chance that at least one of k answers to a prompt is right, mean over prompts.

    Parameters
    ----------
    k : int
        Answers drawn.
    right : numpy.ndarray
        bool, (P, n): which of the n >= k answers to each prompt are right.

    Notes
    -----
    Without bias from n answers: ``1 - C(n - c, k) / C(n, k)`` for c right ones (Chen et al. 2021).
    """
    n = right.shape[1]
    return float(np.mean([1 - comb(n - int(count), k) / comb(n, k) for count in right.sum(1)]))


def distinct_right(answers: np.ndarray, right: np.ndarray) -> float:
    """Different right answers among the n to a prompt, mean over prompts.

    Parameters
    ----------
    answers : numpy.ndarray
        int, (P, n, A): final answers.
    right : numpy.ndarray
        bool, (P, n).
    """
    return float(
        np.mean([len({tuple(a) for a in row[good]}) for row, good in zip(answers, right, strict=True)])
    )


def answer_entropy(answers: np.ndarray) -> tuple[float, float]:
    """Entropy of the final answers to a prompt, nats, mean over prompts: plain, and corrected.

    Parameters
    ----------
    answers : numpy.ndarray
        int, (P, n, A): final answers, right or not.

    Returns
    -------
    plain : float
        ``-sum f ln f`` over the different answers; at most ln n, and too low by about
        ``(K - 1) / 2n`` for K different ones.
    corrected : float
        With that added (Miller 1955, the Miller-Madow correction); may exceed ln n.
    """
    n = answers.shape[1]
    plain, corrected = [], []
    for row in answers:
        counts = Counter(map(tuple, row.tolist())).values()
        entropy = -sum(count / n * log(count / n) for count in counts)
        plain.append(entropy)
        corrected.append(entropy + (len(counts) - 1) / (2 * n))
    return float(np.mean(plain)), float(np.mean(corrected))
