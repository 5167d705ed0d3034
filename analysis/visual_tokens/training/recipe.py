"""How much of what is learned, and how fast."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import nn
from transformers import LlavaForConditionalGeneration

from analysis.visual_tokens.training.losses import PatchHeads


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    Parameters
    ----------
    name : str
        "patches": tower and heads learn what each patch shows. "answers": all weights learn to answer.
        Every stage begins with the weights that the one before left, and with an optimiser of its own.
    images : int
        Images in all.
    batch : int
        Images a step.
    rate : float
        Highest learning rate.
    tower : float
        Factor of the rate for the tower and the heads.
    warm_up : int
        Steps over which the rate rises; then it falls as a cosine to a fiftieth.
    place : float
        Weight of the loss of where each patch lies. Without it the tower forgets places: nothing else asks for them.
    named : float
        Weight, in a stage of answers, of the loss of where an item lies that a question has just named, read from
        the language model's states before layer ``NAMED``.
    further : tuple of str
        Kinds of the questions that each picture is asked beside its own, in a stage of answers.
    """

    name: str
    images: int
    batch: int = 32
    rate: float = 1.2e-3
    tower: float = 1.0
    warm_up: int = 60
    place: float = 0.0
    named: float = 0.0
    further: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Whole batches."""
        return self.images // self.batch

    def share(self, step: int) -> float:
        """Part of the highest rate at a step."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


DENSE, END, CLIP = 0.2, 0.05, 1.0
"""Weights of the patch loss and of the end of the answer in a stage of answers; largest norm of the gradient."""

NAMED = 4
"""Layers of the language model's eight after which the place of a named item is asked for."""

_PLACED = Stage(
    "answers",
    38_400,
    batch=128,
    rate=7.5e-4,
    tower=0.5,
    warm_up=75,
    place=0.1,
    named=0.5,
    further=("relation", "relation", "relation", "count", "attribute", "absence"),
)

STAGES = (
    Stage("patches", 60_000),
    Stage("answers", 50_400, tower=0.3),
    Stage("patches", 80_000),
    Stage("answers", 96_000, tower=0.3),
    _PLACED,
    replace(_PLACED, images=319_104, rate=1.5e-3, warm_up=124),
)
"""Those of the shipped model; its card says what each brought, and where the last one ended."""


def optimizer_for(model: LlavaForConditionalGeneration, heads: PatchHeads, stage: Stage) -> torch.optim.AdamW:
    """Build AdamW (.9, .98) with a weight decay of .05 on matrices, none on norms, biases and embeddings."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in (*model.named_parameters(), *heads.named_parameters("heads")):
        in_tower = "vision_tower" in name or name.startswith("heads")
        if stage.name == "patches" and not in_tower:
            continue
        decays = parameter.ndim > 1 and "embed" not in name
        groups.setdefault((in_tower, decays), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": 0.05 if decays else 0.0,
                "factor": stage.tower if in_tower else 1.0,
            }
            for (in_tower, decays), parameters in groups.items()
        ],
        lr=stage.rate,
        betas=(0.9, 0.98),
        fused=True if next(model.parameters()).is_cuda else None,
    )


def set_rate(optimizer: torch.optim.Optimizer, stage: Stage, step: int) -> float:
    """Set the learning rate of a step; returns the highest of the groups."""
    rate = stage.rate * stage.share(step)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    return rate
