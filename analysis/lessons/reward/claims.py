"""Entropy spent for reward: a small policy is trained by reward alone, and once more with a bonus for entropy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.numbers import significant
from analysis.entropy_collapse.labs.four_squares.interventions import RESCALED
from analysis.entropy_collapse.labs.four_squares.results import LabRun, LabSettings
from analysis.lessons.lesson import Finding, within
from analysis.progress import Progress, part
from analysis.token_entropy.expected import percent

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel

INTERVENTIONS = ("none", "entropy bonus")
KEPT = 0.75
"""Share of the entropy that is left from which on it counts as kept."""
EARLY = 0.6
"""Share of the fall in the first third of the steps from which on it counts as early."""
OF_FORKS = (0.5, 0.9)
LEFT = (0.7, 1.0 / 0.7)
"""Of the different right answers, at the end over the beginning."""
CLOSE = 0.05
"""Difference in reward that is no difference."""
_LAST = 10
"""Steps that the end of a curve is the mean of."""


@dataclass(frozen=True, eq=False)
class Trained:
    """Two runs of the lab with one seed."""

    plain: LabRun
    """By reward alone."""
    bonus: LabRun
    """With an entropy bonus."""


def measure(model: LanguageModel | None, own: str, on_progress: Progress) -> Trained:
    """Train both with a seed."""
    from analysis.entropy_collapse.labs.four_squares.grpo import run_lab

    del model
    settings = [LabSettings(RESCALED[name], seed=int(own)) for name in INTERVENTIONS]
    plain, bonus = (
        run_lab(one, on_progress=part(on_progress, i, 2, name=one.intervention.name))
        for i, one in enumerate(settings)
    )
    return Trained(plain, bonus)


@cache
def stored() -> Trained:
    """The same for the lesson's own seed, from the lab's stored runs."""
    from analysis.entropy_collapse.labs.example_runs import four_squares_example

    found = {run.settings.intervention.name: run for run in four_squares_example()}
    return Trained(*(found[name] for name in INTERVENTIONS))


def ends(curve: np.ndarray) -> tuple[float, float]:
    """Mean of the first and of the last steps of a curve: of three at the beginning, where it moves fast."""
    return float(curve[:3].mean()), float(curve[-_LAST:].mean())


def early_share(run: LabRun) -> float:
    """Share of the fall of the entropy that comes in the first third of the steps; NaN where it does not fall."""
    first, last = ends(run.entropy)
    third = len(run.entropy) // 3
    return (
        (first - float(run.entropy[third : third + _LAST].mean())) / (first - last)
        if first > last
        else float("nan")
    )


def fork_share(run: LabRun) -> float:
    """Share of all entropy lost that was lost at forks, the tokens that choose a square; one token in five is one.

    NaN where none was lost.
    """
    forks, others = (first - last for first, last in (ends(run.fork_entropy), ends(run.follower_entropy)))
    lost = 0.2 * forks + 0.8 * others
    return 0.2 * forks / lost if lost > 0 else float("nan")


def at_forks(run: LabRun) -> float:
    """Share of the entropy at the end that is at forks, in [0, 1]."""
    forks, others = ends(run.fork_entropy)[1], ends(run.follower_entropy)[1]
    return 0.2 * forks / (0.2 * forks + 0.8 * others)


def find_entropy(m: Trained) -> Finding:
    """What was measured about "entropy", and which prediction came true."""
    first, last = ends(m.plain.entropy)
    early = early_share(m.plain)
    option = 0 if last > KEPT * first else 2 if early >= EARLY else 1
    return Finding(
        option,
        f"{significant(first)} → {significant(last)} nats",
        f"The entropy goes from {significant(first)} to {significant(last)} nats per token"
        + (
            ""
            if np.isnan(early)
            else f", and {percent(early)} of the fall is in the first third of the steps"
        )
        + (
            ". Here most of it is kept."
            if not option
            else ". Nobody wanted that: what is rewarded becomes more probable, so everything else becomes less."
        ),
    )


def find_forks(m: Trained) -> Finding:
    """What was measured about "forks", and which prediction came true."""
    share = fork_share(m.plain)
    if np.isnan(share):
        return Finding(None, "no fall", "No entropy was lost in this run. There is nothing to share out.")
    (first, last), (others, after) = ends(m.plain.fork_entropy), ends(m.plain.follower_entropy)
    return Finding(
        within(share, OF_FORKS),
        percent(share),
        f"At forks the entropy goes from {significant(first)} to {significant(last)} nats, elsewhere from {significant(others)} to {significant(after)}: {percent(share)} of the loss is at forks, one token in five. "
        + (
            "What is lost is choice, of wrong squares and of right ones; the other tokens follow from it."
            if share >= OF_FORKS[0]
            else "Here the other tokens, which follow from them, lost more."
        ),
    )


def find_answers(m: Trained) -> Finding:
    """What was measured about "answers", and which prediction came true."""
    first, last = float(m.plain.distinct[0]), float(m.plain.distinct[-1])
    right, now = float(m.plain.pass_1[0]), float(m.plain.pass_1[-1])
    option = within(last / first, LEFT)
    why = {
        0: "It kept few of its ways.",
        1: "It kept its ways.",
        2: "It found more ways than it had.",
    }[option]
    return Finding(
        option,
        f"{significant(first)} → {significant(last)}",
        f"For the numbers it was trained on, an answer is right in {percent(now)} of the cases, before in {percent(right)}; of {m.plain.settings.answers} answers, the different right ones go from {significant(first)} to {significant(last)}. {why}",
    )


def find_bonus(m: Trained) -> Finding:
    """What was measured about "bonus", and which prediction came true."""
    plain, bonus = float(m.plain.pass_1[-1]), float(m.bonus.pass_1[-1])
    option = 1 if abs(bonus - plain) < CLOSE else 2 if bonus > plain else 0
    return Finding(
        option,
        f"{percent(plain)}, with the bonus {percent(bonus)}",
        f"With the bonus {percent(bonus)} of the answers to training numbers are right, without it {percent(plain)}; it ends with {significant(float(m.bonus.distinct[-1]))} different right answers in place of {significant(float(m.plain.distinct[-1]))}. "
        f"Of the {significant(ends(m.bonus.entropy)[1])} nats of entropy that are left with it, {percent(at_forks(m.bonus))} are at forks, where several ways are right.",
    )
