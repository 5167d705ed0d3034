"""Where a run's entropy collapsed, and what it was spent on; smoothing that leaves gaps open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.entropy_collapse.training.results import TrainingCurve
from analysis.errors import AnalysisError

WEIGHT = 0.9
"""Of the past in the running mean that the rule looks at."""
START_ROWS = 10
LOW_SHARE = 0.1
FLOOR_NATS = 0.02
FLOOR_ROWS = 20
FLAT_SHARE = 0.05

RULE = (
    f"Entropy is a running mean (weight of the past {WEIGHT:g}) of the logged rows. It has collapsed at the first "
    f"row where it is under {100 * LOW_SHARE:g} % of the mean of the first {START_ROWS} rows, or has been under "
    f"{FLOOR_NATS:g} nats for {FLOOR_ROWS} rows, while reward has stopped rising: over the last {FLOOR_ROWS} rows "
    f"its least-squares line rises by under {100 * FLAT_SHARE:g} % of all that the running mean of reward ever rose."
)
"""The rule in words, as the page says it."""


def smoothed(values: np.ndarray, weight: float) -> np.ndarray:
    """Running mean in which the past fades by ``weight`` a row.

    Parameters
    ----------
    values : array_like, shape (n,)
        NaN is a gap.
    weight : float
        0 changes nothing; towards 1 the past counts more. As TensorBoard's slider.

    Returns
    -------
    numpy.ndarray, shape (n,)
        ``m_t = sum_k w^k v_(t-k) / sum_k w^k`` over the rows with a value. NaN where the
        value is NaN: a gap stays a gap, and the longer it is, the less the past counts behind it.

    Raises
    ------
    ValueError
        If the weight is not in [0, 1).
    """
    if not 0 <= weight < 1:
        raise ValueError(f"weight must be in [0, 1), got {weight}")
    values = np.asarray(values, float)
    if weight == 0:
        return values.copy()
    mean = pd.Series(values).ewm(alpha=1 - weight, adjust=True, ignore_na=False).mean().to_numpy()
    return np.where(np.isnan(values), np.nan, mean)


@dataclass(frozen=True)
class Onset:
    """Where entropy collapsed by :data:`RULE`, or why nowhere."""

    step: float | None
    """First step where the whole rule holds; None if nowhere."""
    low_step: float | None
    """First step where entropy alone is that low, though reward may still rise."""
    start: float
    """Mean entropy of the first rows, nats."""
    lowest: float
    """Lowest running mean, nats."""
    which: str
    """What the rule says about this run, one sentence."""


def collapse_onset(curve: TrainingCurve) -> Onset:
    """Find the collapse of a run's entropy by :data:`RULE`.

    Rows are those with an entropy. Without a reward the rule's second half cannot be
    asked, and ``step`` stays None.

    Raises
    ------
    AnalysisError
        If the run has too few rows for its own beginning, or its entropy is a sum over sequences.

    References
    ----------
    A proposal of this project; no paper states an alarm level.
    """
    if curve.meaning == "per sequence":
        raise AnalysisError(
            "The logged entropy is summed over each answer.", "It falls when answers get shorter, too."
        )
    known = np.isfinite(curve.entropy)
    step, h, r = curve.step[known], curve.entropy[known], curve.reward[known]
    if len(h) <= START_ROWS:
        raise AnalysisError(
            f"{len(h)} rows have an entropy.",
            f"The rule compares with the first {START_ROWS}: take a longer run.",
        )
    start, mean = float(h[:START_ROWS].mean()), smoothed(h, WEIGHT)
    beneath = mean < FLOOR_NATS
    run = _run_lengths(beneath)
    fallen = (mean < LOW_SHARE * start) & (np.arange(len(h)) >= START_ROWS) & (start > 0)
    low = fallen | (run >= FLOOR_ROWS)
    lowest = float(mean.min())
    if not low.any():
        text = f"No collapse: the running mean never fell under {100 * LOW_SHARE:g} % of its start."
        return Onset(None, None, start, lowest, text)
    at = int(np.flatnonzero(low)[0])
    why = (
        f"under {100 * LOW_SHARE:g} % of its start"
        if fallen[at]
        else f"under {FLOOR_NATS:g} nats for {FLOOR_ROWS} rows"
    )
    low_step = float(step[at])
    if np.isfinite(r).sum() < FLOOR_ROWS:
        text = (
            f"Entropy is {why} from step {low_step:g}; with no reward to look at, the rule cannot say more."
        )
        return Onset(None, low_step, start, lowest, text)
    both = low & _flat(step, r)
    if not both.any():
        text = f"No collapse: entropy is {why} from step {low_step:g}, but reward goes on rising."
        return Onset(None, low_step, start, lowest, text)
    found = float(step[int(np.flatnonzero(both)[0])])
    since = f" (since step {low_step:g})" if found > low_step else ""
    text = f"Collapsed at step {found:g}: entropy is {why}{since}, and reward has stopped rising."
    return Onset(found, low_step, start, lowest, text)


def _run_lengths(flags: np.ndarray) -> np.ndarray:
    """How many rows in a row, up to each one, are flagged."""
    count = np.cumsum(flags)
    return count - np.maximum.accumulate(np.where(flags, 0, count))


def _flat(step: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """Rows at whose end the last rows' least-squares line rises by next to nothing."""
    means = smoothed(reward, WEIGHT)
    settled = means[np.isfinite(means)][START_ROWS - 1 :]
    risen = float(np.ptp(settled)) if len(settled) else 0.0
    flat = np.zeros(len(step), bool)
    for last in range(FLOOR_ROWS - 1, len(step)):
        here = slice(last - FLOOR_ROWS + 1, last + 1)
        x, y = step[here], reward[here]
        known = np.isfinite(y)
        if known.sum() < FLOOR_ROWS // 2:
            continue
        x, y = x[known] - x[known].mean(), y[known]
        flat[last] = (x @ y) / (x @ x) * np.ptp(step[here]) < FLAT_SHARE * risen
    return flat


@dataclass(frozen=True, eq=False)
class Spent:
    """What a run paid in entropy for its reward, from the means of its first rows."""

    step: np.ndarray
    """(n,), rows with an entropy and a reward."""
    entropy_spent: np.ndarray
    """Nats, (n,): mean of the first rows minus the running mean."""
    reward_gained: np.ndarray
    """(n,): running mean minus the mean of the first rows."""

    def to_frame(self) -> pd.DataFrame:
        """One row per step, with the shares of what was spent and gained by the end."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return pd.DataFrame(
                {
                    "step": self.step,
                    "entropy_spent": self.entropy_spent,
                    "reward_gained": self.reward_gained,
                    "share_spent": self.entropy_spent / self.entropy_spent[-1],
                    "share_gained": self.reward_gained / self.reward_gained[-1],
                }
            )


def entropy_spent(curve: TrainingCurve, *, weight: float = WEIGHT) -> Spent:
    """Entropy spent against reward gained, step by step.

    Parameters
    ----------
    curve : TrainingCurve
        A run with a reward.
    weight : float
        Of the past in the running means.

    Raises
    ------
    AnalysisError
        If the run has too few rows with both, or its entropy is a sum over sequences.
    """
    if curve.meaning == "per sequence":
        raise AnalysisError("The logged entropy is summed over each answer.", "Choose a mean over tokens.")
    known = np.isfinite(curve.entropy) & np.isfinite(curve.reward)
    if known.sum() <= START_ROWS:
        raise AnalysisError(
            f"{int(known.sum())} rows have both an entropy and a reward.",
            f"The first {START_ROWS} are the beginning: take a longer run.",
        )
    h, r = curve.entropy[known], curve.reward[known]
    return Spent(
        curve.step[known],
        h[:START_ROWS].mean() - smoothed(h, weight),
        smoothed(r, weight) - r[:START_ROWS].mean(),
    )
