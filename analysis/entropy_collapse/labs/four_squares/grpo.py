"""The loop: sample, reward, normalise in groups, update, measure. One call is one run of the lab."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter, thread_time

import numpy as np
import torch
from torch import Tensor

from analysis.entropy_collapse.labs.four_squares import task
from analysis.entropy_collapse.labs.four_squares.base import base_policy
from analysis.entropy_collapse.labs.four_squares.evaluation import evaluate
from analysis.entropy_collapse.labs.four_squares.interventions.base import Batch
from analysis.entropy_collapse.labs.four_squares.interventions.weights import log_entropy_spread
from analysis.entropy_collapse.labs.four_squares.policy import Policy, Predictions, Temper, predict, sample
from analysis.entropy_collapse.labs.four_squares.predictions import (
    covariance,
    entropy_of,
    exact_slope,
    top_share,
)
from analysis.entropy_collapse.labs.four_squares.results import (
    EVALUATION_ARRAYS,
    STEP_ARRAYS,
    LabRun,
    LabSettings,
)
from analysis.progress import Progress, silent

_SHOW_SECONDS = 0.5
_WARM_UP_SHARE = 0.5
"""Of the progress, where the base policy has to be made first."""
_SMALL = 1e-6


def run_lab(
    settings: LabSettings | None = None,
    *,
    on_progress: Progress | None = None,
    on_partial: Callable[[LabRun], None] | None = None,
) -> LabRun:
    """Train the base policy with GRPO and an intervention, and measure what its entropy does.

    Parameters
    ----------
    settings : LabSettings, optional
        Plain GRPO with seed 0 by default.
    on_progress : callable, optional
        ``on_progress(share, what)``, several times a second; raising from it stops the run.
    on_partial : callable, optional
        Gets the run so far about twice a second; what it gets is never changed.

    Returns
    -------
    LabRun
        The same numbers for the same settings on the same machine.

    Notes
    -----
    The very first call also trains the base policy, in about 15 seconds. Runs on the CPU with
    one thread, which is fastest at this size. Torch's global random state and its number
    of threads are left as they were.
    """
    settings = settings or LabSettings()
    report = on_progress or silent
    begun = 0.0

    def warming_up(share: float, what: str) -> None:
        nonlocal begun
        begun = _WARM_UP_SHARE
        report(_WARM_UP_SHARE * share, what)

    def running(share: float, what: str) -> None:
        report(begun + (1 - begun) * share, what)

    with _one_thread():
        policy = base_policy(warming_up)
        return _Run(policy, settings, running, on_partial).go()


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(before)


class _Run:
    """A run while it is running."""

    def __init__(
        self,
        policy: Policy,
        settings: LabSettings,
        report: Progress,
        show: Callable[[LabRun], None] | None,
    ) -> None:
        self.policy, self.settings, self.report, self.show = policy, settings, report, show
        self.temperature = settings.used_temperature
        report(0.0, "starting")  # a first optimiser brings a second of imports
        self.optimiser = torch.optim.Adam(policy.parameters(), lr=settings.used_learning_rate)
        self.numbers = np.random.default_rng(settings.seed)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.seen: tuple[float, float] | None = None
        self.rows: dict[str, list[float]] = {name: [] for name in STEP_ARRAYS}
        self.tests: dict[str, list[float]] = {name: [] for name in EVALUATION_ARRAYS}
        self.evaluated: list[int] = []
        self.began, self.shown = thread_time(), perf_counter()

    def go(self) -> LabRun:
        """Take all steps."""
        total = self.settings.steps
        for step in range(total):
            if step % self.settings.every == 0:
                self.evaluate(step)
            self.report(step / total, f"step {step + 1} of {total}")
            self.step()
            if self.show is not None and perf_counter() - self.shown > _SHOW_SECONDS:
                self.shown = perf_counter()
                self.show(self.result())
        self.evaluate(total)
        self.report(1.0, "done")
        return self.result()

    def result(self) -> LabRun:
        """Curves so far, as arrays of their own."""
        steps = {name: np.array(values) for name, values in self.rows.items()}
        tests = {name: np.array(values) for name, values in self.tests.items()}
        return LabRun(
            settings=self.settings,
            evaluated=np.array(self.evaluated, int),
            seconds=thread_time() - self.began,
            **steps,
            **tests,
        )

    def evaluate(self, step: int) -> None:
        """Answer all numbers; random choices do not depend on what the run drew before."""
        generator = torch.Generator().manual_seed(1_000_003 * (self.settings.seed + 1) + step)
        share = step / self.settings.steps
        for name, value in evaluate(
            self.policy, self.settings, generator, lambda: self.report(share, "answering all numbers")
        ).items():
            self.tests[name].append(value)
        self.evaluated.append(step)

    def step(self) -> None:
        """Write answers, update, and note what happened."""
        s = self.settings
        chosen = self.numbers.choice(task.split()[0], s.prompts, replace=False)
        prompts = torch.from_numpy(chosen).repeat_interleave(s.rollouts)
        written = sample(self.policy, prompts, self.generator, temper=self._temper())
        with torch.no_grad():
            before = predict(self.policy, prompts, written, self.temperature)
        entropy, logprob = before.entropy, before.logprob
        reward = torch.from_numpy(task.rewards(prompts.numpy(), written.numpy()))
        advantage = group_advantage(reward, s.rollouts).unsqueeze(1).expand_as(logprob)
        for part in torch.randperm(len(prompts), generator=self.generator).chunk(s.minibatches):
            now = predict(self.policy, prompts[part], written[part], self.temperature)
            batch = Batch(
                now.logprobs,
                now.logprob,
                now.entropy,
                logprob[part],
                advantage[part],
                reward[part],
                float(entropy.mean()),
                self.generator,
            )
            self.optimiser.zero_grad()
            s.intervention.loss(batch).backward()
            self.optimiser.step()
        with torch.no_grad():
            after = predict(self.policy, prompts, written, self.temperature)
        self.seen = log_entropy_spread(entropy)
        self._note(prompts, before, reward, advantage, float((after.entropy - entropy).mean()))

    def _temper(self) -> Temper | float:
        """Temperature to sample at, or the intervention's rule for it."""
        seen, intervention = self.seen, self.settings.intervention
        if seen is None or intervention.temperature_factor(torch.zeros(1), seen) is None:
            return self.temperature

        def temper(logprobs: Tensor) -> Tensor:
            factor = intervention.temperature_factor(entropy_of(logprobs), seen)
            assert factor is not None
            return self.temperature * factor.unsqueeze(1)

        return temper

    def _note(
        self, prompts: Tensor, before: Predictions, reward: Tensor, advantage: Tensor, change: float
    ) -> None:
        entropy, fork = before.entropy, torch.from_numpy(task.is_fork())
        values = {
            "entropy": float(entropy.mean()),
            "fork_entropy": float(entropy[:, fork].mean()),
            "follower_entropy": float(entropy[:, ~fork].mean()),
            "reward": float(reward.mean()),
            "validity": float(task.true_steps(prompts.numpy(), before.written.numpy()).mean()),
            "top_share": top_share(entropy),
            "covariance": covariance(before.logprob, advantage),
            "exact_slope": float(exact_slope(before.logprobs, before.written, advantage).mean()),
            "change": change,
        }
        for name, value in values.items():
            self.rows[name].append(value)


def group_advantage(reward: Tensor, rollouts: int) -> Tensor:
    """Reward minus the mean of its group, over the group's standard deviation.

    Parameters
    ----------
    reward : torch.Tensor
        (B,): answers to one number lie next to each other.
    rollouts : int
        Answers per number.

    Returns
    -------
    torch.Tensor
        (B,); 0 where a whole group is right or wrong. Source: Shao et al. 2024, DeepSeekMath.
    """
    groups = reward.view(-1, rollouts)
    spread = groups.std(1, keepdim=True)
    return ((groups - groups.mean(1, keepdim=True)) / (spread + _SMALL)).flatten()
