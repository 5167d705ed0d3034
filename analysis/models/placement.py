"""Where the weights of a model go: one device, or several through accelerate's device map."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from analysis.errors import AnalysisError, UnsupportedModelError
from analysis.models import memory
from analysis.models.spec import ModelSpec

_USABLE = 0.85
"""Share of a device's free memory that weights may take when they are spread."""


@dataclass(frozen=True)
class Placement:
    """Where weights go, decided before they are read."""

    device: torch.device
    """Where a model that is not spread goes; where one that is begins."""
    device_map: str | dict[str, str] | None = None
    """As accelerate wants it; None puts everything on ``device``."""
    max_memory: dict[int | str, int] = field(default_factory=dict)
    """Bytes that each device may take, for a map that accelerate makes."""
    why: str = ""
    """Why the weights are spread, in words."""

    def options(self, offload_folder: Path | None) -> dict[str, Any]:
        """What to tell ``from_pretrained``; without a folder, nothing can wait on the disk."""
        if self.device_map is None:
            return {}
        found: dict[str, Any] = {"device_map": self.device_map}
        if offload_folder is not None:
            found["offload_folder"] = str(offload_folder)
        return found | ({"max_memory": self.max_memory} if self.max_memory else {})


def choose_placement(spec: ModelSpec, n_bytes: int | None) -> Placement:
    """Decide where the weights of a model go.

    Parameters
    ----------
    spec : ModelSpec
        With the device that was asked for.
    n_bytes : int or None
        What they need in the precision asked for; None when unknown.

    Raises
    ------
    AnalysisError
        If the device asked for is not there.
    OutOfMemoryError
        If they do not fit into a device that was asked for by name.
    UnsupportedModelError
        If an adapter is to be merged into weights that would have to be spread.
    """
    target = resolve_device(spec.device)
    free = memory.free_bytes(target)
    placement = Placement(target)
    if spec.device_map:
        placement = Placement(target, dict(spec.device_map), why="as asked")
    elif spec.device == "spread":
        placement = Placement(target, "auto", _memory(), "as asked")
    elif spec.device == "auto" and n_bytes is not None and n_bytes > free:
        why = f"they need {n_bytes / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free on {target}"
        placement = Placement(target, "auto", _memory(), why)
    elif n_bytes is not None:
        memory.require_weights_fit(n_bytes, target, spec.name)
    if spec.adapter is not None and placement.device_map is not None:
        raise UnsupportedModelError(
            f"The adapter of {spec.name} can only be merged where all weights are in the memory of one device.",
            "Choose a device by name, a smaller model, or a merged checkpoint.",
        )
    return placement


def _memory() -> dict[int | str, int]:
    devices: dict[int | str, torch.device] = {
        i: torch.device("cuda", i) for i in range(torch.cuda.device_count())
    }
    devices["cpu"] = torch.device("cpu")
    return {name: int(_USABLE * memory.free_bytes(device)) for name, device in devices.items()}


def new_offload_folder() -> Path:
    """An empty folder for weights that have to be written again to be read from the disk."""
    return Path(tempfile.mkdtemp(prefix="logitscope-"))


def remove_with(model: Any, folder: Path) -> None:
    """Remove a folder when a model is gone, or with the process."""
    weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)


def resolve_device(device: str) -> torch.device:
    """Device to use; "auto" and "spread" begin with the first CUDA device, else Apple's, else the CPU.

    Raises
    ------
    AnalysisError
        If the device asked for is not there.
    """
    if device in ("auto", "spread"):
        if torch.cuda.is_available():
            return torch.device("cuda:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    target = torch.device(device)
    if target.type == "cuda":
        count = torch.cuda.device_count()
        if (target.index or 0) >= count:
            raise AnalysisError(
                f"There is no device {device}; this machine has {count or 'no'} CUDA device{'s' * (count != 1)}.",
                "Choose auto or cpu.",
            )
    elif target.type == "mps" and not torch.backends.mps.is_available():
        raise AnalysisError("There is no mps device on this machine.", "Choose auto or cpu.")
    return target


def device_name(device: torch.device) -> str:
    """Name of a device as a person says it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple GPU" if device.type == "mps" else f"CPU, {torch.get_num_threads()} threads"


def places(model: Any) -> list[str]:
    """Where the parts of a model that is spread are, in order; empty for one on a single device."""
    spread = getattr(model, "hf_device_map", None) or {}
    found = list(dict.fromkeys(_named(place) for place in spread.values()))
    return found if len(found) > 1 or found == ["disk"] else []


def placement_note(model: Any, why: str) -> str:
    """What a person should know about a model that is spread; empty for others."""
    found = places(model)
    if not found:
        return ""
    held = [_named(place) for place in model.hf_device_map.values()]
    shares = ", ".join(f"{held.count(name)} on {'the disk' if name == 'disk' else name}" for name in found)
    slow = " Those on the disk are read again in every pass, which is slow." if "disk" in found else ""
    return f"Its weights are spread ({why}); of the parts, {shares}.{slow}"


def _named(place: Any) -> str:
    return f"cuda:{place}" if isinstance(place, int) else str(place)
