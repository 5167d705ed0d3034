"""How many trials cautious next-token prediction (CNTP) would make at each token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError
from analysis.papers.citations import cited

if TYPE_CHECKING:
    import pandas as pd

SOURCE = f"CNTP, {cited('cntp')}, wyzjack/CNTP with the constants of its scripts."
KNOWN = (
    "Code read. The entropy is that after temperature 0.8 and top-p 0.95. The stored most probable tokens decide it "
    "where the tokens that top-p keeps are among them; elsewhere the number of trials lies between two bounds. Only the "
    "trials are counted here: none is written."
)
TEMPERATURE, TOP_P = 0.8, 0.95
"""What the distribution is warped with before its entropy is taken."""
LOW, HIGH = 0.01, 1.5
"""nats: one trial up to the first, all trials from the second on."""
TRIALS = 10
"""Trials at most."""
STOPS = frozenset(".,\n?!:;)]}")
"""A trial ends with a token that is one of these, spaces before it aside; so ".\\n" in one token does not end it."""
_ROUNDING = 1e-5
"""Probability that float32 may have lost."""


def trials(entropy: np.ndarray) -> np.ndarray:
    """Trials for entropies of warped distributions.

    Parameters
    ----------
    entropy : numpy.ndarray
        nats; NaN where there is none.

    Returns
    -------
    numpy.ndarray of int64
        ``floor(1 + 9 clamp((H - 0.01) / 1.49, 0, 1))``, from 1 to 10; 0 for NaN.
    """
    share = np.clip((np.asarray(entropy, np.float64) - LOW) / (HIGH - LOW), 0, 1)
    return np.where(np.isnan(share), 0, np.floor(1 + (TRIALS - 1) * np.nan_to_num(share))).astype(np.int64)


def warped_entropy(log_probs: np.ndarray) -> np.ndarray:
    """Entropy after temperature and top-p, from whole distributions.

    Parameters
    ----------
    log_probs : numpy.ndarray, shape (N, V)
        nats, at temperature 1.

    Returns
    -------
    numpy.ndarray, shape (N,)
        nats, of the fewest most probable tokens whose probability reaches 0.95 at temperature 0.8, renormalised.
    """
    falling = -np.sort(-log_probs.astype(np.float64), axis=-1) / TEMPERATURE
    p = np.exp(falling - falling[:, :1])
    p /= p.sum(-1, keepdims=True)
    kept = (p.cumsum(-1) < TOP_P).sum(-1)
    prefixes = _prefix_entropies(p)
    return prefixes[np.arange(len(p)), np.minimum(kept, p.shape[1] - 1)]


def _prefix_entropies(p: np.ndarray) -> np.ndarray:
    """Entropy of the first k + 1 entries of each row alone, renormalised; it never falls with k."""
    terms = -p * np.log(p, where=p > 0, out=np.zeros_like(p))
    mass = p.cumsum(-1)
    return np.maximum(np.log(mass) + terms.cumsum(-1) / mass, 0)


def entropy_bounds(top_logprobs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between what the warped entropy lies, from the most probable tokens alone.

    Parameters
    ----------
    top_logprobs : numpy.ndarray, shape (T, k)
        nats at temperature 1, best first; NaN rows have no context.

    Returns
    -------
    least, most : numpy.ndarray, shape (T,)
        nats; equal where it is known; ``most`` is infinite where top-p may keep more than k tokens; NaN without context.

    Notes
    -----
    With ``a = 1 / 0.8`` the other tokens weigh between nothing and ``m p_k^(a-1)``, where m is their probability: none
    is above ``p_k``. Either end gives a number of kept tokens, and the entropy of a renormalised beginning never falls
    with its length.
    """
    least, most = (np.full(len(top_logprobs), np.nan) for _ in range(2))
    known = ~np.isnan(top_logprobs).any(-1)
    logs = top_logprobs[known].astype(np.float64)
    if not logs.size:
        return least, most
    weight = np.exp(logs / TEMPERATURE)
    sums = weight.cumsum(-1)
    rest = np.maximum(0, 1 - np.exp(logs).sum(-1)) + _ROUNDING
    tail = rest * np.exp(logs[:, -1] * (1 / TEMPERATURE - 1))
    prefixes = _prefix_entropies(weight / sums[:, -1:])
    rows, last = np.arange(len(logs)), logs.shape[1] - 1
    fewest = (sums < TOP_P * sums[:, -1:] * (1 - _ROUNDING)).sum(-1)
    reached = (sums < TOP_P * (sums[:, -1:] + tail[:, None]) * (1 + _ROUNDING)).sum(-1)
    least[known] = prefixes[rows, np.minimum(fewest, last)]
    most[known] = np.where(reached > last, np.inf, prefixes[rows, np.minimum(reached, last)])
    return least, most


@dataclass(frozen=True)
class CautiousTrials:
    """Trials before each token of a text."""

    least: np.ndarray
    """int64, (T,): at least so many trials; 0 without context."""
    most: np.ndarray
    """int64, (T,): at most so many; equal to ``least`` where the number is known."""
    segment_end: np.ndarray
    """int64, (T,): position of the first token from here on that would end a trial in this text; -1 if none follows."""
    from_whole: bool
    """Whether whole distributions were at hand; otherwise the most probable tokens of each."""
    source: str = SOURCE
    known: str = KNOWN

    @property
    def trials(self) -> np.ndarray:
        """int64, (T,): trials where the number is known, else 0."""
        return np.where(self.least == self.most, self.least, 0)

    @property
    def positions(self) -> tuple[int, ...]:
        """Tokens where more than one trial would be made, in order."""
        return tuple(int(t) for t in np.flatnonzero(self.least > 1))

    @property
    def n_unknown(self) -> int:
        """Tokens whose number of trials lies between two bounds."""
        return int((self.least != self.most).sum())

    def to_frame(self) -> pd.DataFrame:
        """One row per token."""
        import pandas as pd

        columns = {"least_trials": self.least, "most_trials": self.most, "segment_end": self.segment_end}
        return pd.DataFrame({"position": np.arange(len(self.least)), **columns})


def cautious_trials(
    top_logprobs: np.ndarray, text: Sequence[str], warped: np.ndarray | None = None
) -> CautiousTrials:
    """Trials that CNTP would make before each token of a text.

    Parameters
    ----------
    top_logprobs : numpy.ndarray, shape (T, k)
        nats at temperature 1, of the most probable tokens; NaN rows have no context.
    text : sequence of str
        T tokens as they read.
    warped : numpy.ndarray, shape (T,), optional
        nats, from :func:`warped_entropy`: makes every number exact.

    Raises
    ------
    AnalysisError
        If there are no tokens.
    """
    if not len(text):
        raise AnalysisError("There are no tokens.", "Write or paste a text first.")
    least, most = entropy_bounds(top_logprobs) if warped is None else (warped, warped)
    end = np.full(len(text), -1, np.int64)
    following = -1
    for t in range(len(text) - 1, -1, -1):
        following = t if (text[t].lstrip(" ") in STOPS and text[t].strip(" ")) else following
        end[t] = following
    return CautiousTrials(trials(least), trials(np.minimum(most, 1e9)), end, warped is not None)
