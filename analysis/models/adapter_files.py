"""Adapters (LoRA and its kin) in the files of a model: seen without reading weights.

Whether ``peft`` is installed changes no number: nothing is attached that was not asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError, BrokenFileError, ModelNotFoundError
from analysis.models.spec import ModelSpec
from analysis.models.stored import ADAPTER_WEIGHTS, weight_files

ADAPTER_CONFIG = "adapter_config.json"
NO_ADAPTER = {"adapter_kwargs": {"subfolder": "no-adapter"}}
"""Argument of ``from_pretrained``. Where peft is installed, transformers attaches an adapter that lies beside
a model, without a word; so it is sent to look for one where there is none."""


@dataclass(frozen=True)
class AdapterFolder:
    """An adapter that a folder holds."""

    base: str
    """The model it was trained on, a hub id or a folder, as it says itself; empty if it does not say."""
    beside_model: bool
    """Whether the folder holds a whole model too."""


def find_adapter(folder: str | Path) -> AdapterFolder | None:
    """What adapter a folder holds; None for none, and for whatever cannot be read.

    Parameters
    ----------
    folder : str or pathlib.Path
        As a person typed it; needs no torch.
    """
    try:
        path = Path(folder).expanduser()
        if not (path / ADAPTER_CONFIG).is_file():
            return None
        base = adapter_settings(path).get("base_model_name_or_path")
        return AdapterFolder(str(base or ""), (path / "config.json").is_file() and bool(weight_files(path)))
    except (AnalysisError, OSError, RuntimeError, ValueError):
        return None


def holds_adapter(files: Iterable[str]) -> bool:
    """Whether the files of a model are those of an adapter too."""
    return ADAPTER_CONFIG in files


def require_base(where: str, files: Iterable[str], spec: ModelSpec, options: dict[str, Any]) -> None:
    """Refuse what holds an adapter and no model, naming the base that it wants.

    Parameters
    ----------
    where : str
        Folder or hub id.
    files : iterable of str
        Names of its files.
    spec : ModelSpec
        What was asked for.
    options : dict
        Of ``from_pretrained``, for one of the hub.

    Raises
    ------
    ModelNotFoundError
        With the call that loads both.
    """
    weights = [name for name in files if name.endswith(".safetensors") and name != ADAPTER_WEIGHTS]
    if "config.json" in files and weights:
        return
    from transformers.utils import cached_file

    own = {name: options[name] for name in ("revision", "local_files_only")}
    path = cached_file(where, ADAPTER_CONFIG, **own)
    base = str(adapter_settings(Path(str(path)).parent).get("base_model_name_or_path") or "")[:200]
    raise ModelNotFoundError(
        f"{spec.name} is an adapter alone; it belongs to {base or 'a base that it does not name'}.",
        f"Load it with its base: load_model({base or 'base'!r}, adapter={spec.source[:200]!r}).",
    )


def adapter_settings(folder: Path) -> dict[str, Any]:
    """What the ``adapter_config.json`` of a folder says.

    Raises
    ------
    BrokenFileError
        If it is damaged.
    """
    try:
        settings = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise BrokenFileError(f"{folder.name}/{ADAPTER_CONFIG} is damaged.", "Copy the adapter again.")
    return settings
