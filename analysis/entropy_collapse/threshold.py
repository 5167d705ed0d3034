"""Whether a run's entropy is under a threshold that somebody set, and since which step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.entropy_collapse.training.results import TrainingCurve
from analysis.errors import AnalysisError


@dataclass(frozen=True)
class Watch:
    """A run's logged entropy against a threshold."""

    threshold: float
    """Nats."""
    since: float | None
    """Step from which on every logged row is under it; None if the last row is not."""
    rows: int
    """Rows from there to the last one."""
    first: float | None
    """First step of all that was under it; None if there is none."""
    last_step: float
    last: float
    """Entropy of the last row, nats."""

    @property
    def which(self) -> str:
        """What there is to say, one sentence."""
        now = f"{self.last:.3g} at step {self.last_step:g}"
        if self.since is not None:
            rows = f"{self.rows} row{'s' * (self.rows != 1)}"
            return f"Entropy is under {self.threshold:g} nats since step {self.since:g} ({rows}): {now}."
        if self.first is not None:
            return (
                f"Entropy is not under {self.threshold:g} nats: {now}. It was, first at step {self.first:g}."
            )
        return f"Entropy has not been under {self.threshold:g} nats: {now}."


def watch(curve: TrainingCurve, threshold: float) -> Watch:
    """Compare every logged row with a threshold; nothing is smoothed.

    Parameters
    ----------
    curve : TrainingCurve
        A run. Rows without an entropy are passed over.
    threshold : float
        Nats, above 0. No paper states a level of alarm: it is the reader's own.

    Raises
    ------
    AnalysisError
        If the run has no entropy, or its entropy is a sum over sequences.
    ValueError
        If the threshold is not above 0.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0, got {threshold}")
    if curve.meaning == "per sequence":
        raise AnalysisError(
            "The logged entropy is summed over each answer.", "The threshold is for a mean over tokens."
        )
    known = np.isfinite(curve.entropy)
    step, h = curve.step[known], curve.entropy[known]
    if not len(h):
        raise AnalysisError("No row has an entropy.", "Choose another column.")
    under = h < threshold
    rows = len(h) if under.all() else int(np.argmin(under[::-1]))
    return Watch(
        threshold=threshold,
        since=float(step[-rows]) if rows else None,
        rows=rows,
        first=float(step[np.argmax(under)]) if under.any() else None,
        last_step=float(step[-1]),
        last=float(h[-1]),
    )
