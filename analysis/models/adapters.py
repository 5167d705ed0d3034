"""Adapters (LoRA and its kin): found beside a model or alone, and merged into the weights in memory.

Whether ``peft`` is installed changes no number: nothing is attached that was not asked for.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError, BrokenFileError, ModelNotFoundError, UnsupportedModelError
from analysis.models.spec import ModelSpec, is_folder
from analysis.models.stored import ADAPTER_WEIGHTS, tensors_of, weight_files

ADAPTER_CONFIG = "adapter_config.json"
NO_ADAPTER = {"adapter_kwargs": {"subfolder": "no-adapter"}}
"""Argument of ``from_pretrained``. Where peft is installed, transformers attaches an adapter that lies beside
a model, without a word; so it is sent to look for one where there is none."""
_NOT_WEIGHTS = frozenset({"ADAPTION_PROMPT", "XLORA", "POLY"})
"""Kinds of adapters, beside prompts, that stay a part of their own."""


@dataclass(frozen=True)
class AdapterFolder:
    """An adapter that a folder holds."""

    base: str
    """The model it was trained on, a hub id or a folder, as it says itself; empty if it does not say."""
    beside_model: bool
    """Whether the folder holds a whole model too."""


def look_for_adapter(folder: str | Path) -> AdapterFolder | None:
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
        base = _settings(path).get("base_model_name_or_path")
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
    base = str(_settings(Path(str(path)).parent).get("base_model_name_or_path") or "")[:200]
    raise ModelNotFoundError(
        f"{spec.name} is an adapter alone; it belongs to {base or 'a base that it does not name'}.",
        f"Load it with its base: load_model({base or 'base'!r}, adapter={spec.source[:200]!r}).",
    )


def adapter_folder(adapter: str) -> Path:
    """Folder of an adapter; one of the hub is downloaded, its weights as safetensors only.

    Raises
    ------
    ModelNotFoundError
        If there is no adapter there.
    """
    if is_folder(adapter):
        path = Path(adapter).expanduser()
    else:
        from huggingface_hub import snapshot_download

        patterns = ["*.json", ADAPTER_WEIGHTS, "*.model", "*.txt", "*.jinja"]
        path = Path(snapshot_download(adapter, allow_patterns=patterns))
    if not (path / ADAPTER_CONFIG).is_file():
        raise ModelNotFoundError(
            f"{adapter} holds no adapter ({ADAPTER_CONFIG} is missing).", "Name the folder that peft saved."
        )
    if not (path / ADAPTER_WEIGHTS).is_file():
        pickled = any(path.glob("adapter_model.*"))
        raise ModelNotFoundError(
            f"The adapter {adapter} has no {ADAPTER_WEIGHTS}.",
            "Pickled weights (.bin) are not read because they can run code: convert them to safetensors."
            if pickled
            else "Name the folder that peft saved, weights included.",
        )
    return path


def require_mergeable(folder: Path, shown: str) -> Any:
    """Refuse an adapter that cannot be merged, before the weights of its base are read.

    Returns
    -------
    peft.PeftConfig
        Its settings.

    Raises
    ------
    AnalysisError
        If ``peft`` is not installed, naming it.
    UnsupportedModelError
        If the adapter makes something else of the model, or adds prompts and not weights.
    """
    try:
        from peft import PeftConfig
    except ImportError:
        raise AnalysisError(
            f"Merging the adapter {shown} needs the package peft, which is not installed.",
            "Install it with `pip install peft`, or choose the base alone.",
        ) from None
    settings = _settings(folder)
    task, kind = settings.get("task_type"), str(settings.get("peft_type"))
    if task not in (None, "CAUSAL_LM"):
        raise UnsupportedModelError(
            f"The adapter {shown} makes its base a model for {str(task)[:40]}, which predicts no next token.",
            "Choose an adapter of a causal language model.",
        )
    try:
        config = PeftConfig.from_pretrained(str(folder))
    except (KeyError, TypeError, ValueError) as error:
        raise UnsupportedModelError(
            f"The adapter {shown} is not one that this peft reads ({type(error).__name__} in its settings).",
            "Update peft, or choose the base alone.",
        ) from error
    if config.is_prompt_learning or kind in _NOT_WEIGHTS:
        raise UnsupportedModelError(
            f"The adapter {shown} is of the kind {kind[:40]}, which cannot be merged into weights.",
            "LoRA and its kin can; choose the base alone, or such an adapter.",
        )
    return config


def merge_adapter(model: Any, folder: Path, shown: str) -> Any:
    """The base with an adapter merged into its weights: a plain model, nothing of the adapter left.

    Parameters
    ----------
    model : PreTrainedModel
        The base, with plain weights; consumed.
    folder : pathlib.Path
        From :func:`adapter_folder`.
    shown : str
        Name of the adapter, for messages.

    Raises
    ------
    UnsupportedModelError
        If the base is quantised.
    BrokenFileError
        If the adapter is not one of this base.
    """
    from peft import PeftModel
    from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING

    config = require_mergeable(folder, shown)
    if getattr(model, "hf_quantizer", None) is not None:
        raise UnsupportedModelError(
            f"The adapter {shown} cannot be merged into quantised weights without rounding them again.",
            "Name the unquantised base.",
        )
    try:
        held = tensors_of(folder / ADAPTER_WEIGHTS)
        _resize_for(model, held)
        config.inference_mode = True
        mapping = getattr(model, "_checkpoint_conversion_mapping", {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft's calls of what transformers will drop
            attached = PeftModel(model, config)
            result = attached.load_adapter(str(folder), "default", torch_device="cpu", key_mapping=mapping)
            # Rows of embeddings may be held twice, under a name that fits nowhere; parts of the adapter may not.
            prefix = PEFT_TYPE_TO_PREFIX_MAPPING.get(config.peft_type, "")
            homeless = [key for key in result.unexpected_keys if prefix in key]
            strange = [*homeless, *result.missing_keys]
            if not strange:
                return attached.merge_and_unload(safe_merge=True)
        reason = f"{strange[0]} {'fits nowhere' if homeless else 'is missing'}"
    except (RuntimeError, ValueError, KeyError, TypeError, NotImplementedError, AttributeError) as error:
        reason = str(error).strip().partition("\n")[0][:160].strip(" .:")
    raise BrokenFileError(
        f"The adapter {shown} does not belong to this base ({reason}).",
        "Load it with the base that its adapter_config.json names.",
    )


def _resize_for(model: Any, held: dict[str, Any]) -> None:
    """Give the base as many rows as an adapter that was trained with added tokens has."""
    for name, tensor in held.items():
        if name.endswith(("embed_tokens.weight", "lm_head.weight", "wte.weight")):
            rows = model.get_input_embeddings().weight.shape[0]
            if tensor.shape[0] != rows:
                model.resize_token_embeddings(tensor.shape[0], mean_resizing=False)


def _settings(folder: Path) -> dict[str, Any]:
    try:
        settings = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise BrokenFileError(f"{folder.name}/{ADAPTER_CONFIG} is damaged.", "Copy the adapter again.")
    return settings
