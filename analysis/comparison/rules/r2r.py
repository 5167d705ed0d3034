"""Roads to Rome (R2R): positions where two models really differ, and simple routers that try to predict them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from analysis.comparison.rules.origin import Constant, Origin
from analysis.errors import AnalysisError
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from analysis.comparison.two_heads import HeadStates

Switching = Literal["immediate", "momentum", "window"]
"""How a router goes from a number per token to a choice: alone, smoothed, or large at once and small again by a mean."""
ENTROPY, LOGU = 0.45, 2.275
TOP_LOGITS = 10
MOMENTUM, TO_LARGE, TO_SMALL = 0.7, 0.3, 0.7
WINDOW = 3

ORIGIN = Origin(
    source=titled("r2r") + " thu-nics/R2R.",
    formula="different: first choices of A and B differ. Routers: H > 0.45 nats; LogU = -sum a_i/S (psi(a_i + 1) - "
    "psi(S + 1)) > 2.275 over the 10 largest logits a_i with sum S; momentum m = 0.7 m + 0.3 [simple], small once m > 0.7, "
    "large once m is not above 0.3",
    known="code read",
    note="The paper routes only divergent positions, which a judge finds by the meaning of what follows: there is no judge "
    "here, so these are candidates. Its own router is a trained network and is not here. Its constants belong to a small "
    "model of 1.5B parameters: move the threshold and watch both curves. Momentum and window go with LogU in its code, "
    "here with either number; its exception for entropies below 0.02 nats is left out. Both begin with the large model, as there.",
    sides="A is the small model, B the large one.",
    constants=(Constant("threshold", "Threshold", ENTROPY, 0.0, 8.0, 0.05, "nats", "code read"),),
)
OF_LOGU = replace(
    ORIGIN,
    constants=(Constant("threshold", "Threshold", LOGU, 0.0, 2.31, 0.005, "nats", "code read"),),
)
"""The same for routers by LogU, which is at most ln 10."""


def log_u(top_logits: np.ndarray) -> np.ndarray:
    """LogU, the aleatoric part: expected entropy if the largest logits were counts of a Dirichlet distribution.

    Parameters
    ----------
    top_logits : numpy.ndarray, shape (n, 10)
        Raw logits; NaN rows have no context.

    Returns
    -------
    numpy.ndarray, shape (n,)
        float64, nats, at most ln 10. NaN where a logit is not above 0, which can be no count; the code gives a number
        there that means nothing.
    """
    import torch

    counts = np.asarray(top_logits, np.float64)
    good = (counts > 0).all(-1)
    out = np.full(len(counts), np.nan)
    a = torch.from_numpy(counts[good])
    total = a.sum(-1, keepdim=True)
    out[good] = -(a / total * (torch.digamma(a + 1) - torch.digamma(total + 1))).sum(-1).numpy()
    return out


def top_logits(
    side: HeadStates, of: np.ndarray, n: int, on_rows: Callable[[int], None] = lambda _: None
) -> np.ndarray:
    """The 10 largest logits before every pair's token, float64, (n, 10), largest first; block by block.

    Parameters
    ----------
    side : HeadStates
        A's head and its states, row by row.
    of : numpy.ndarray, int64, shape (m,)
        The pair that each row predicted; other pairs get NaN.
    n : int
        Pairs of the comparison.
    on_rows : callable, optional
        Told the number of rows of each finished block.
    """
    import torch

    from analysis.forward.vocabulary_head import rows_per_block

    out = np.full((n, TOP_LOGITS), np.nan)
    step = rows_per_block(side.head)
    with torch.inference_mode():
        for begin in range(0, len(side.states), step):
            logits = side.head.logits(side.states[begin : begin + step])
            out[of[begin : begin + step]] = logits.topk(TOP_LOGITS, -1).values.double().cpu().numpy()
            on_rows(len(logits))
    return out


def routed(value: np.ndarray, threshold: float, switching: Switching = "immediate") -> np.ndarray:
    """Which tokens the large model would write.

    Parameters
    ----------
    value : numpy.ndarray, shape (n,)
        What is held against the threshold, such as entropy or LogU; NaN is passed over.
    threshold : float
        A token is simple below it.
    switching : {"immediate", "momentum", "window"}
        How the choice is made.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)

    Raises
    ------
    AnalysisError
        If there is no such way of switching.
    """
    if switching == "immediate":
        return np.asarray(value >= threshold)
    if switching not in ("momentum", "window"):
        raise AnalysisError(f"There is no switching {switching!r}.", "Choose immediate, momentum or window.")
    step = _momentum() if switching == "momentum" else _window(threshold)
    out = np.zeros(len(value), bool)
    for t in np.flatnonzero(~np.isnan(value)):
        out[t] = step(float(value[t]), bool(value[t] < threshold))
    return out


def _momentum() -> Callable[[float, bool], bool]:
    momentum, large = 0.0, True

    def step(_value: float, simple: bool) -> bool:
        nonlocal momentum, large
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * simple
        large = momentum <= (TO_SMALL if large else TO_LARGE)
        return large

    return step


def _window(threshold: float) -> Callable[[float, bool], bool]:
    recent: deque[float] = deque(maxlen=WINDOW)
    large = True

    def step(value: float, simple: bool) -> bool:
        nonlocal large
        if large or not simple:
            recent.append(value)
        large = sum(recent) / len(recent) >= threshold if large else not simple
        if not large:
            recent.clear()
        return large

    return step
