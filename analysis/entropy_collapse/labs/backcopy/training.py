"""Training a Bigram-Backcopy model while looking at its sink."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from analysis.entropy_collapse.labs.backcopy.measures import evaluate, hold_out
from analysis.entropy_collapse.labs.backcopy.model import Decoder
from analysis.entropy_collapse.labs.backcopy.results import BackcopyRun, BackcopySettings
from analysis.entropy_collapse.labs.backcopy.task import BackcopyTask, shipped_task
from analysis.progress import silent

HELD_OUT = 32
"""Sequences looked at, the same in every run of a length."""
_HELD_OUT_SEED = 20_000_003
_EVALUATIONS = 60
"""A run is looked at about so many times, more often at its beginning."""
_SHOW_SECONDS = 0.5


def train_backcopy(
    settings: BackcopySettings,
    *,
    on_progress: Callable[[float, str], None] | None = None,
    on_partial: Callable[[BackcopyRun], None] | None = None,
) -> BackcopyRun:
    """Train a small decoder on the Bigram-Backcopy task and record how its sink forms.

    Parameters
    ----------
    settings : BackcopySettings
        The run.
    on_progress : callable, optional
        ``on_progress(share, what)`` at every step; raising from it stops the run.
    on_partial : callable, optional
        Gets what was seen so far about twice a second, each time a value of its own.

    Returns
    -------
    BackcopyRun

    Notes
    -----
    Weights and sequences come from one seeded generator; the global random state and the number of threads
    are left alone. The same settings give the same run on the same machine. Loss: cross-entropy of the next
    token at all positions. Adam is AdamW with betas (.9, .99), SGD has momentum .9, both weight decay 1e-4.

    References
    ----------
    Guo et al. 2024, arXiv:2410.13835, section 2; code: GuoTianYu2000/Active-Dormant-Attention, BBM. What is
    smaller here is said in :class:`BackcopySettings`.
    """
    report = on_progress or silent
    task = shipped_task()
    generator = torch.Generator().manual_seed(settings.seed)
    model = Decoder(
        task.n_tokens, settings.length, settings.width, settings.layers, settings.attention, generator
    )
    optimizer = _optimizer(model, settings)
    unseen = torch.Generator().manual_seed(_HELD_OUT_SEED)
    held = hold_out(task, _sequences(task, HELD_OUT, settings.length, unseen)[:, :-1])
    begun, shown = monotonic(), monotonic()
    evaluations: list[dict[str, Any]] = []
    when = set(evaluation_steps(settings.steps))
    for step in range(settings.steps + 1):
        report(step / (settings.steps + 1), f"step {step:,} of {settings.steps:,}")
        if step in when:
            evaluations.append({"step": step, **evaluate(model, held)})
            if on_partial is not None and monotonic() - shown >= _SHOW_SECONDS:
                on_partial(_run(settings, task, evaluations, monotonic() - begun))
                shown = monotonic()
        if step < settings.steps:
            ids = torch.from_numpy(_sequences(task, settings.batch, settings.length, generator))
            loss = functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    report(1.0, "done")
    return _run(settings, task, evaluations, monotonic() - begun)


def evaluation_steps(steps: int) -> list[int]:
    """Steps after which a run is looked at: every one up to 4, then rarer, and the last one."""
    every = max(1, steps // _EVALUATIONS)
    early = [1, 2, 4, 8, 16, 32]
    return sorted({0, steps, *(s for s in early if s < min(steps, 3 * every)), *range(every, steps, every)})


def _optimizer(model: Decoder, settings: BackcopySettings) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, 1e-4
    if settings.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=decay)
    return torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=decay)


def _sequences(task: BackcopyTask, n: int, length: int, generator: torch.Generator) -> np.ndarray:
    """Sequences of ``length + 1`` tokens: what is read, and one more to predict."""
    return task.sequences(torch.rand(n, length, dtype=torch.float64, generator=generator).numpy())


def _run(
    settings: BackcopySettings, task: BackcopyTask, evaluations: list[dict[str, Any]], seconds: float
) -> BackcopyRun:
    """What was seen so far, in arrays of its own that cannot be written to."""
    arrays = {
        name: np.array([one[name] for one in evaluations])
        for name in evaluations[0]
        if name != "by_character"
    }
    arrays["by_character"] = evaluations[-1]["by_character"]
    for array in arrays.values():
        array.setflags(write=False)
    return BackcopyRun(
        settings=settings,
        oracle=task.oracle(settings.length),
        characters=task.characters,
        triggers=task.triggers,
        seconds=seconds,
        **arrays,
    )
