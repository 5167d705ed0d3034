"""Where a training stands, in one safetensors file: weights, heads, the optimiser's moments, stage and step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import LlavaForConditionalGeneration

from analysis.errors import BrokenFileError
from analysis.visual_tokens.training.losses import PatchHeads

NAME = "checkpoint.safetensors"


@dataclass(slots=True)
class Learner:
    """Everything that a step changes, and where it stands.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
    heads : PatchHeads
    optimizer : torch.optim.Optimizer
    stage : int
        Number of the stage.
    step : int
        Steps of this stage that are done. Pictures follow from stage and step.
    """

    model: LlavaForConditionalGeneration
    heads: PatchHeads
    optimizer: torch.optim.Optimizer
    stage: int
    step: int

    def modules(self) -> dict[str, nn.Module]:
        """Named modules whose weights are saved."""
        return {"model": self.model, "heads": self.heads}


def save_checkpoint(learner: Learner, folder: Path, settings: dict) -> None:
    """Write the checkpoint; an older one is there until the new one is whole."""
    tensors = {
        f"{name}:{key}": value.detach().clone()
        for name, module in learner.modules().items()
        for key, value in module.state_dict().items()
    }
    for number, moments in learner.optimizer.state_dict()["state"].items():
        tensors |= {
            f"moment:{number}:{key}": torch.as_tensor(value).clone() for key, value in moments.items()
        }
    place = {"stage": learner.stage, "step": learner.step, "settings": settings}
    scratch = folder / f"{NAME}.part"
    save_file(tensors, scratch, metadata={"place": json.dumps(place)})
    scratch.replace(folder / NAME)


def read_place(folder: Path) -> tuple[int, int, dict] | None:
    """Return stage, step and settings of the checkpoint in a folder; ``None`` where there is none.

    Raises
    ------
    BrokenFileError
        If the file is not a checkpoint of this training.
    """
    if not (folder / NAME).is_file():
        return None
    try:
        with safe_open(folder / NAME, "pt") as file:
            place = json.loads(file.metadata()["place"])
    except Exception as error:  # safetensors raises an exception class of its own
        raise BrokenFileError(
            f"{folder / NAME} cannot be read: {error}", "Delete it to start again."
        ) from error
    return place["stage"], place["step"], place["settings"]


def load_checkpoint(learner: Learner, folder: Path) -> None:
    """Put weights and moments of the checkpoint into a learner of the same stage."""
    with safe_open(folder / NAME, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (no iteration without it)
    for name, module in learner.modules().items():
        module.load_state_dict(
            {k.partition(":")[2]: v for k, v in tensors.items() if k.startswith(f"{name}:")}
        )
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("moment:"):
            _, number, moment = key.split(":")
            state.setdefault(int(number), {})[moment] = value
    groups = learner.optimizer.state_dict()["param_groups"]
    learner.optimizer.load_state_dict({"state": state, "param_groups": groups})
