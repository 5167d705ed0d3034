"""What a run of the lab is asked for and what it gives. Plain numpy, no model, no plotting."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields

import numpy as np
import pandas as pd

from analysis.entropy_collapse.labs.four_squares.interventions import RESCALED, Intervention
from analysis.entropy_collapse.labs.four_squares.task import split
from analysis.errors import AnalysisError
from analysis.units import Unit, from_nats

_WHOLE: dict[str, tuple[int, int]] = {
    "seed": (0, 2**31 - 1),
    "steps": (1, 2000),
    "prompts": (1, len(split()[0])),
    "rollouts": (2, 256),
    "minibatches": (1, 64),
    "answers": (2, 256),
    "every": (1, 2000),
}
_REAL: dict[str, tuple[float, float]] = {"learning_rate": (1e-8, 1.0), "temperature": (0.1, 10.0)}


@dataclass(frozen=True)
class LabSettings:
    """Everything that decides a run's numbers. Settings that exist are valid.

    Raises
    ------
    AnalysisError
        If a value is out of its range.
    """

    intervention: Intervention = field(default_factory=lambda: RESCALED["none"])
    seed: int = 0
    """Of prompts, samples, minibatches and evaluations; the base policy is the same for all seeds."""
    steps: int = 120
    prompts: int = 8
    """Different numbers per step."""
    rollouts: int = 16
    """Answers per number: the group that rewards are normalised over."""
    minibatches: int = 4
    """Updates per step. With one, the ratio is 1 and no clipping or KL-Cov does anything."""
    learning_rate: float = 3e-4
    """Of Adam, where the intervention does not set its own."""
    temperature: float = 1.0
    """Where the intervention does not set its own."""
    answers: int = 32
    """Answers per number at an evaluation."""
    k: int = 8
    """Of pass@k."""
    every: int = 10
    """Steps between evaluations."""

    def __post_init__(self) -> None:
        for name, (low, high) in _WHOLE.items() | {("k", (1, self.answers))}:
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise AnalysisError(
                    f"The lab's {name} is {value}.", f"Choose a whole number from {low} to {high}."
                )
        for name, (least, most) in _REAL.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise AnalysisError(
                    f"The lab's {name.replace('_', ' ')} is {value:g}.",
                    f"Choose one from {least:g} to {most:g}.",
                )
        if self.minibatches > self.prompts * self.rollouts:
            raise AnalysisError(
                f"{self.prompts * self.rollouts} answers cannot fill {self.minibatches} minibatches.",
                "Choose fewer minibatches.",
            )

    @property
    def used_learning_rate(self) -> float:
        """Learning rate, the intervention's own if it has one."""
        return self.intervention.learning_rate or self.learning_rate

    @property
    def used_temperature(self) -> float:
        """Temperature, the intervention's own if it has one."""
        return self.intervention.temperature or self.temperature

    @property
    def key(self) -> str:
        """Id of the run."""
        values = asdict(self) | {"intervention": self.intervention.describe()}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def subtitle(self) -> str:
        """The settings in one line."""
        return (
            f"four squares · {self.intervention.describe()} · seed {self.seed} · {self.steps} steps of "
            f"{self.prompts} × {self.rollouts} answers, {self.minibatches} updates each · Adam "
            f"{self.used_learning_rate:g} · temperature {self.used_temperature:g}"
        )


@dataclass(frozen=True, eq=False)
class LabRun:
    """Curves of one run; shorter than its settings ask for while it is still running.

    Arrays of shape (S,) have an entry per finished step, measured on the answers written at
    that step, *before* its updates. Arrays of shape (E,) have an entry per evaluation: all
    numbers, ``answers`` answers each, at the steps in ``evaluated``. Entropies are exact over the whole
    vocabulary, in nats per written token, at the run's temperature; a mean over tokens gives
    every written token of every answer the same weight.
    """

    settings: LabSettings
    entropy: np.ndarray
    """(S,) mean over all written tokens."""
    fork_entropy: np.ndarray
    """(S,) mean over the tokens that choose a square."""
    follower_entropy: np.ndarray
    """(S,) mean over all other tokens."""
    reward: np.ndarray
    """(S,) share of right answers."""
    validity: np.ndarray
    """(S,) share of steps ``- square = rest ;`` that are true."""
    top_share: np.ndarray
    """(S,) part of all entropy in the 20 % of tokens with the highest entropy."""
    covariance: np.ndarray
    """(S,) nats: Cov(log-probability, advantage) over all tokens."""
    exact_slope: np.ndarray
    """(S,) nats per unit of learning rate: mean of the exact softmax term."""
    change: np.ndarray
    """(S,) nats: mean entropy at the same tokens after the step's updates, minus before."""
    evaluated: np.ndarray
    """(E,) int: updates of so many steps were done; 0 is the base policy."""
    token_entropy: np.ndarray
    """(E,) mean entropy of the tokens written for the training numbers."""
    pass_1: np.ndarray
    """(E,) share of right answers to training numbers."""
    pass_k: np.ndarray
    """(E,) chance that one of k is right, training numbers."""
    held_pass_1: np.ndarray
    """(E,) the same for the numbers that no training saw."""
    held_pass_k: np.ndarray
    """(E,)"""
    evaluated_validity: np.ndarray
    """(E,) share of true steps, training numbers."""
    distinct: np.ndarray
    """(E,) different right answers (four squares in their order) among ``answers``, mean over training numbers."""
    answer_entropy: np.ndarray
    """(E,) nats: plain entropy of the final answers to a training number, at most ln ``answers``."""
    answer_entropy_corrected: np.ndarray
    """(E,) nats: with the correction of Miller and Madow."""
    seconds: float = float("nan")
    """Time of the run without the base policy's training."""

    @property
    def covariance_prediction(self) -> np.ndarray:
        """(S,) nats: change predicted by the covariance, ``-learning rate * Cov``."""
        return -self.settings.used_learning_rate * self.covariance

    @property
    def exact_prediction(self) -> np.ndarray:
        """(S,) nats: change predicted by the exact softmax term, ``learning rate * slope``."""
        return self.settings.used_learning_rate * self.exact_slope

    def to_frame(self, unit: Unit = "nats") -> pd.DataFrame:
        """One row per step and evaluation; NaN where something was not measured.

        Parameters
        ----------
        unit : {"nats", "bits"}
            Unit of every entropy.
        """
        arrays = {name: from_nats(getattr(self, name), unit, power=power) for name, power in IN_NATS.items()}
        steps = {"step": np.arange(len(self.reward))} | {name: arrays[name] for name in STEP_ARRAYS}
        tests = {"step": self.evaluated} | {name: arrays[name] for name in EVALUATION_ARRAYS}
        frame = pd.DataFrame(steps).merge(pd.DataFrame(tests), on="step", how="outer")
        frame.insert(0, "seed", self.settings.seed)
        frame.insert(0, "intervention", self.settings.intervention.describe())
        return frame


_SKIPPED = {"settings", "seconds", "evaluated"}
_ARRAYS = tuple(f.name for f in fields(LabRun) if f.name not in _SKIPPED)
STEP_ARRAYS = _ARRAYS[: _ARRAYS.index("token_entropy")]
EVALUATION_ARRAYS = _ARRAYS[_ARRAYS.index("token_entropy") :]
_WITHOUT_UNIT = {"reward", "validity", "top_share", "pass_1", "pass_k", "held_pass_1", "held_pass_k"} | {
    "evaluated_validity",
    "distinct",
}
IN_NATS = {name: 0 if name in _WITHOUT_UNIT else 1 for name in _ARRAYS}
"""Power of the unit of information in each array."""


def summary(run: LabRun) -> dict[str, float]:
    """Numbers of a finished run, as the project's bounds name them.

    Returns
    -------
    dict of str to float
        ``entropy_start``, ``entropy_end``, ``reward_start``, ``reward_end``,
        ``distinct_start``, ``distinct_end``: first and last evaluation (training numbers).
        ``entropy_kept``, ``distinct_kept``: end over start. ``top_share``: median over steps.
        ``law_r2``: R² of reward on exp(entropy) over steps, unsmoothed.
        ``covariance_positive``: share of steps. ``exact_correlation``,
        ``covariance_correlation``: of predicted and actual change over steps.
    """
    ends = {
        f"{short}_{when}": float(getattr(run, name)[at])
        for short, name in (("entropy", "token_entropy"), ("reward", "pass_1"), ("distinct", "distinct"))
        for when, at in (("start", 0), ("end", -1))
    }
    return ends | {
        "entropy_kept": ratio(ends["entropy_end"], ends["entropy_start"]),
        "distinct_kept": ratio(ends["distinct_end"], ends["distinct_start"]),
        "top_share": float(np.median(run.top_share)),
        "law_r2": correlation(np.exp(run.entropy), run.reward) ** 2,
        "covariance_positive": float((run.covariance > 0).mean()),
        "exact_correlation": correlation(run.exact_slope, run.change),
        "covariance_correlation": correlation(-run.covariance, run.change),
    }


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson correlation of two arrays of shape (S,); NaN where one of them does not vary."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def ratio(value: float, start: float) -> float:
    """Quotient of two numbers; NaN where the second is 0."""
    return value / start if start else float("nan")
