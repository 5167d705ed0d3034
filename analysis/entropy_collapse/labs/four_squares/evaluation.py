"""All numbers answered many times: what the policy can still do, not only what it does most."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from analysis.entropy_collapse.labs.four_squares import task
from analysis.entropy_collapse.labs.four_squares.answers import answer_entropy, distinct_right, pass_at
from analysis.entropy_collapse.labs.four_squares.policy import Policy, predict, sample
from analysis.entropy_collapse.labs.four_squares.predictions import entropy_of
from analysis.entropy_collapse.labs.four_squares.results import LabSettings

_CHUNK = 512
"""Answers written together: the run can be stopped between two chunks."""


def evaluate(
    policy: Policy, settings: LabSettings, generator: torch.Generator, on_tick: Callable[[], None]
) -> dict[str, float]:
    """Measure a policy on training and on held-out numbers.

    Parameters
    ----------
    policy : Policy
        Asked at the run's temperature.
    settings : LabSettings
        How many answers, and k of pass@k.
    generator : torch.Generator
        Source of the samples.
    on_tick : callable
        Called several times a second; raising from it stops.

    Returns
    -------
    dict of str to float
        The evaluation arrays of :class:`~analysis.entropy_collapse.labs.four_squares.results.LabRun`, an
        entry each.
    """
    train, held = task.split()
    right, answers, validity, entropy = _answer(policy, train, settings, generator, on_tick)
    held_right = _answer(policy, held, settings, generator, on_tick)[0]
    plain, corrected = answer_entropy(answers)
    return {
        "token_entropy": entropy,
        "pass_1": float(right.mean()),
        "pass_k": pass_at(settings.k, right),
        "held_pass_1": float(held_right.mean()),
        "held_pass_k": pass_at(settings.k, held_right),
        "evaluated_validity": validity,
        "distinct": distinct_right(answers, right),
        "answer_entropy": plain,
        "answer_entropy_corrected": corrected,
    }


@torch.no_grad()
def _answer(
    policy: Policy,
    numbers: tuple[int, ...],
    settings: LabSettings,
    generator: torch.Generator,
    on_tick: Callable[[], None],
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Which answers are right (P, n), the answers (P, n, 4), share of true steps, mean token entropy."""
    prompts = torch.tensor(numbers).repeat_interleave(settings.answers)
    written, entropies = [], []
    for part in prompts.split(_CHUNK):
        on_tick()
        written.append(sample(policy, part, generator, temper=settings.used_temperature))
        entropies.append(entropy_of(predict(policy, part, written[-1], settings.used_temperature).logprobs))
    starts, text = prompts.numpy(), torch.cat(written).numpy()
    shape = (len(numbers), settings.answers)
    right = (task.rewards(starts, text) > 0).reshape(shape)
    answers = task.taken_squares(text).reshape(*shape, task.N_STEPS)
    return right, answers, float(task.true_steps(starts, text).mean()), float(torch.cat(entropies).mean())
