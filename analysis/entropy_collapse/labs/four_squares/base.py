"""The base policy: trained on true steps taken at random, so that it can count but not plan.

It is made once, in about 15 seconds, and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from analysis.entropy_collapse.labs.four_squares import task
from analysis.entropy_collapse.labs.four_squares.policy import HIDDEN, N_HEADS, WIDTH, Policy, predict
from analysis.models.embedded import cache_folder
from analysis.progress import Progress

_LAYOUT = 1
"""Raised when the policy or its texts change, so that an older file is not used."""
_WARM_STEPS = 50
_WARMING_UP = "warming up the base policy, once"


@dataclass(frozen=True)
class BaseSettings:
    """Everything that decides the base policy."""

    updates: int = 1800
    answers: int = 64
    """Texts per update."""
    learning_rate: float = 5e-3
    """Of Adam; rises over 50 updates, then falls to 0 in a straight line."""
    texts: int = 20_000
    finish: float = 0.8
    """Chance that the last step takes all that is left, where that is a square."""
    seed: int = 7

    @property
    def key(self) -> str:
        """Id of the base policy."""
        values = asdict(self) | {"layout": _LAYOUT, "shape": (WIDTH, N_HEADS, HIDDEN)}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def base_path(settings: BaseSettings | None = None) -> Path:
    """Where the base policy is kept."""
    return cache_folder() / f"four-squares-{(settings or BaseSettings()).key}.safetensors"


def base_policy(on_progress: Progress, settings: BaseSettings | None = None) -> Policy:
    """Read the base policy from the cache, or train it and put it there.

    Parameters
    ----------
    on_progress : callable
        ``on_progress(share, what)``; raising from it stops the training.
    settings : BaseSettings, optional
        The usual ones by default.

    Notes
    -----
    A file that cannot be read is made anew; a cache that cannot be written is done without.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    settings = settings or BaseSettings()
    path = base_path(settings)
    policy = Policy(torch.Generator().manual_seed(settings.seed))
    try:
        policy.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError):
        policy = train_base(settings, on_progress)
        _keep(policy, path)
    return policy


def train_base(settings: BaseSettings, on_progress: Progress) -> Policy:
    """Train a base policy by maximum likelihood on :func:`random_texts`."""
    policy = Policy(torch.Generator().manual_seed(settings.seed))
    rng = np.random.default_rng(settings.seed)
    numbers, written = (torch.from_numpy(part) for part in random_texts(settings, rng))
    on_progress(0.0, _WARMING_UP)  # a first optimiser brings a second of imports
    optimiser = torch.optim.Adam(policy.parameters())
    for update in range(settings.updates):
        if update % 5 == 0:
            on_progress(update / settings.updates, _WARMING_UP)
        rise, fall = (update + 1) / _WARM_STEPS, 1 - update / settings.updates
        chosen = torch.from_numpy(rng.integers(settings.texts, size=settings.answers))
        loss = -predict(policy, numbers[chosen], written[chosen]).logprob.mean()
        optimiser.param_groups[0]["lr"] = settings.learning_rate * min(1.0, rise) * fall
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return policy


def random_texts(settings: BaseSettings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Prompts that are not held out, each with four true steps.

    A step takes any square that fits, all equally likely; where the rest before the last
    step is a square, that step takes all of it with chance ``finish``.

    Returns
    -------
    numbers : numpy.ndarray
        int64, (texts,).
    written : numpy.ndarray
        int64, (texts, T).
    """
    n = settings.texts
    numbers = rng.choice(task.split()[0], n)
    rest, steps = numbers, []
    for step in range(task.N_STEPS):
        largest = np.sqrt(rest + 0.5).astype(int)
        square = rng.integers(largest + 1) ** 2
        if step == task.N_STEPS - 1:
            finished = (largest**2 == rest) & (rng.random(n) < settings.finish)
            square = np.where(finished, rest, square)
        rest = rest - square
        signs = np.broadcast_to((task.MINUS, task.EQUALS, task.SEMICOLON), (n, 3)).T
        steps += [signs[0], square, signs[1], rest, signs[2]]
    return numbers, np.stack(steps, 1)


def _keep(policy: Policy, path: Path) -> None:
    """Write a policy to the cache, whole or not at all."""
    from safetensors.torch import save_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        os.close(handle)
        save_file(policy.state_dict(), name)
        Path(name).replace(path)
    except OSError:
        return
