"""Runs beside the baseline of the same seed, and whether a difference is more than chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.entropy_collapse.labs.four_squares.results import LabRun, ratio, summary

BASELINE = "none"
CLEAR_RATIO = 1.4
"""Entropy or distinct answers count as changed from this factor on, either way. Baselines of
different seeds differ by less; see the calibration in ``benchmarks/RESULTS.md``."""
CLEAR_REWARD = 0.05
"""Reward counts as changed from this difference on."""
NO_EFFECT = "no clear effect here"
_COLUMNS = (
    "intervention",
    "seed",
    "entropy_end",
    "entropy_against_baseline",
    "reward_end",
    "reward_against_baseline",
    "distinct_end",
    "distinct_against_baseline",
    "effect",
)


def compare(runs: Sequence[LabRun]) -> pd.DataFrame:
    """Each finished run against the baseline with the same seed and the same other settings.

    Parameters
    ----------
    runs : sequence of LabRun
        With or without baselines among them.

    Returns
    -------
    pandas.DataFrame
        One row per run: values at the last evaluation; ``entropy_against_baseline`` and
        ``distinct_against_baseline`` as factors, ``reward_against_baseline`` as a difference, NaN where there
        is no such baseline; ``effect`` in words.
    """
    baselines = {_pair(run): summary(run) for run in runs if run.settings.intervention.name == BASELINE}
    rows = []
    for run in runs:
        own, base = summary(run), baselines.get(_pair(run))
        entropy = ratio(own["entropy_end"], base["entropy_end"]) if base else np.nan
        reward = own["reward_end"] - base["reward_end"] if base else np.nan
        distinct = ratio(own["distinct_end"], base["distinct_end"]) if base else np.nan
        if run.settings.intervention.name == BASELINE:
            effect = "the baseline"
        elif base is None:
            effect = "no baseline with this seed"
        else:
            effect = effect_in_words(entropy, reward, distinct)
        ends = own["entropy_end"], entropy, own["reward_end"], reward, own["distinct_end"], distinct
        rows.append((run.settings.intervention.describe(), run.settings.seed, *ends, effect))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _pair(run: LabRun) -> tuple[int, int, int, int, int]:
    """What has to be equal for two runs to be paired."""
    s = run.settings
    return s.seed, s.steps, s.prompts, s.rollouts, s.minibatches


def effect_in_words(entropy: float, reward: float, distinct: float) -> str:
    """Differences that are clear, or that none is.

    Parameters
    ----------
    entropy, distinct : float
        Factors on the baseline's.
    reward : float
        Difference from the baseline's.
    """
    parts = []
    for factor, what in ((entropy, "entropy"), (distinct, "distinct answers")):
        if factor >= CLEAR_RATIO:
            parts.append(f"more {what}")
        elif factor <= 1 / CLEAR_RATIO:
            parts.append(f"less {what}" if what == "entropy" else f"fewer {what}")
    if abs(reward) >= CLEAR_REWARD:
        parts.append("more reward" if reward > 0 else "less reward")
    return ", ".join(parts) or NO_EFFECT
