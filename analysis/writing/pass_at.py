"""How often at least one of k answers is right, from n answers of which c are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    import pandas as pd


def pass_at_k(n: int, c: int, k: int) -> float:
    """Probability that at least one of k samples is right, estimated without bias.

    Parameters
    ----------
    n : int
        Samples that were drawn.
    c : int
        How many of them are right.
    k : int
        From 1 to n.

    Returns
    -------
    float
        ``1 - C(n - c, k) / C(n, k)``: the share of all choices of k of the n samples that contain a right one.

    Raises
    ------
    AnalysisError
        If k is not from 1 to n.
    ValueError
        If c is not from 0 to n.

    References
    ----------
    Chen et al. 2021, arXiv:2107.03374. ``1 - (1 - c / n)^k``, the plug-in, is lower on average than the truth.
    """
    if not 0 <= c <= n:
        raise ValueError(f"of {n} samples {c} cannot be right")
    if not 1 <= k <= n:
        raise AnalysisError(
            f"pass@{k} cannot be estimated from {n} samples.",
            f"Choose a k from 1 to {n}, or write more samples.",
        )
    return 1 - comb(n - c, k) / comb(n, k)


@dataclass(frozen=True)
class PassAt:
    """pass@k for several k."""

    n: int
    """Samples."""
    n_right: int
    k: tuple[int, ...]
    value: tuple[float, ...]
    """Estimates, one per k."""

    def to_frame(self) -> pd.DataFrame:
        """One row per k."""
        import pandas as pd

        return pd.DataFrame({"k": self.k, "pass_at_k": self.value}).assign(n=self.n, n_right=self.n_right)


def pass_at(right: Iterable[bool], k: Iterable[int] | int | None = None) -> PassAt:
    """pass@k of samples that were marked right or wrong.

    Parameters
    ----------
    right : iterable of bool
        One per sample; one without an answer is wrong.
    k : int or iterable of int, optional
        By default every k from 1 to n.

    Raises
    ------
    AnalysisError
        If there are no samples, or as for :func:`pass_at_k`.
    """
    marks = [bool(mark) for mark in right]
    if not marks:
        raise AnalysisError("There are no samples.", "Write some samples first.")
    n, c = len(marks), sum(marks)
    wanted = tuple(range(1, n + 1) if k is None else [k] if isinstance(k, int) else k)
    return PassAt(n, c, wanted, tuple(pass_at_k(n, c, one) for one in wanted))
