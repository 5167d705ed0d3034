"""Reading a model folder or a hub model: checked before its weights are read, and after."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from analysis.models.adapter_files import NO_ADAPTER, holds_adapter, require_base
from analysis.models.heads import require_language_model, require_no_other_head
from analysis.models.hub import HubAnswer, query_hub, snapshot
from analysis.models.load_errors import as_analysis_error, require_all_weights
from analysis.models.packed import unpacked_weights
from analysis.models.placement import (
    Placement,
    choose_placement,
    new_offload_folder,
    remove_with,
    resolve_device,
)
from analysis.models.quantised import Quantisation, find_quantisation
from analysis.models.scales import require_scaled, require_whole_blocks
from analysis.models.spec import ModelSpec
from analysis.models.stored import StoredTensor, bytes_of, stored_tensors
from analysis.models.tokenizer_files import read_tokenizer


@dataclass
class Opened:
    """A model that was read, with what is to be said about it."""

    model: Any
    """transformers' model, weights plain where they can be."""
    tokenizer: Any
    placement: Placement
    notes: list[str] = field(default_factory=list)
    """Sentences that a person should read."""
    weights: str = ""
    """How the weights were stored, in words; empty for plain ones."""


def open_pretrained(where: str, spec: ModelSpec) -> Opened:
    """Read a folder or a hub model.

    Parameters
    ----------
    where : str
        Folder or hub id.
    spec : ModelSpec
        What was asked for.

    Raises
    ------
    AnalysisError
        One sentence for whatever goes wrong.
    """
    try:
        return _open(where, spec)
    except Exception as error:
        raise as_analysis_error(error, spec) from error


def _open(where: str, spec: ModelSpec) -> Opened:
    from transformers import AutoConfig

    answer = query_hub(spec) if spec.kind == "hub" else None
    files = answer.files if answer else frozenset(path.name for path in Path(where).iterdir())
    common = {
        "revision": spec.revision or "main",
        "trust_remote_code": False,
        "local_files_only": answer is None or not answer.reachable,
    }
    beside = holds_adapter(files)
    if beside:
        require_base(where, files, spec, common)
    config = AutoConfig.from_pretrained(where, **common)
    require_language_model(config, spec.name)
    quantised = find_quantisation(config, spec.name, resolve_device(spec.device))
    tokenizer, notes = read_tokenizer(where, files, spec.name, common)
    stored = _stored(where, spec)
    precision = choose_precision(spec, config)
    placement = choose_placement(spec, _bytes_needed(stored, answer, precision, quantised))
    if quantised is not None:
        quantised.prepare(placement.device)
        require_whole_blocks(quantised, stored, spec.name)
        if placement.device.type == "cuda" and placement.device_map is None and not quantised.unpacked_here:
            # Its package puts it there while it loads; several cannot be moved afterwards.
            placement = replace(placement, device_map={"": str(placement.device)})
    model, loaded = _load(where, spec, config, quantised, placement, precision, common)
    require_all_weights(loaded, spec.name)
    require_no_other_head(loaded, spec.name)
    if quantised is not None:
        model = quantised.expand(model, placement.device, precision)
        notes.append(quantised.note(model))
    stored = stored or _stored(where, spec)
    if quantised is not None:
        require_whole_blocks(quantised, stored, spec.name)
    require_scaled(model, stored, loaded, quantised is not None, spec.name)
    if beside and spec.adapter is None:
        notes.append("An adapter lies beside this model and is not applied; base + adapter merges it.")
    return Opened(model, tokenizer, placement, notes, quantised.words if quantised else "")


def _load(
    where: str,
    spec: ModelSpec,
    config: Any,
    quantised: Quantisation | None,
    placement: Placement,
    precision: torch.dtype,
    common: dict[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """Read the weights; gives the model and what the library tells about reading it."""
    from transformers import AutoModelForCausalLM

    offload = new_offload_folder() if placement.device_map is not None else None
    how = {"dtype": precision, "output_loading_info": True, **placement.options(offload)}
    try:
        if quantised is not None and quantised.unpacked_here:
            model, loaded = _from_packed(_whole_folder(where, spec, common), config, quantised, how)
        else:
            model, loaded = AutoModelForCausalLM.from_pretrained(
                where, config=config, use_safetensors=True, **how, **NO_ADAPTER, **common
            )
    except BaseException:
        if offload is not None:
            shutil.rmtree(offload, ignore_errors=True)
        raise
    if offload is not None:
        remove_with(model, offload)
    return model, loaded


def _from_packed(
    folder: Path, config: Any, quantised: Quantisation, how: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """A model from weights that are unpacked here, by the class that the library has for it."""
    from transformers import AutoModelForCausalLM

    for part in (config, config.get_text_config()):
        if hasattr(part, "quantization_config"):
            del part.quantization_config
    with torch.device("meta"):
        kind: Any = type(AutoModelForCausalLM.from_config(config))
    weights = unpacked_weights(folder, quantised.method, quantised.settings, how["dtype"])
    loaded: tuple[Any, dict[str, Any]] = kind.from_pretrained(None, config=config, state_dict=weights, **how)
    return loaded


def _whole_folder(where: str, spec: ModelSpec, common: dict[str, Any]) -> Path:
    """Folder that holds the weights of a model; those of the hub are downloaded."""
    if spec.kind != "hub":
        return Path(where)
    from huggingface_hub import snapshot_download

    own = {"revision": spec.revision, "local_files_only": common["local_files_only"]}
    return Path(snapshot_download(where, allow_patterns=["*.safetensors", "*.json"], **own))


def choose_precision(spec: ModelSpec, config: Any | None) -> torch.dtype:
    """Precision to compute in: what was asked for, else float32 on a CPU and the checkpoint's own elsewhere."""
    device, asked = resolve_device(spec.device), spec.dtype
    stored = None if config is None else getattr(config.get_text_config(), "dtype", None) or config.dtype
    if asked != "auto":
        chosen: torch.dtype = getattr(torch, asked)
        return chosen
    if device.type == "cpu" or not isinstance(stored, torch.dtype):
        return torch.float32
    if stored == torch.bfloat16 and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    return stored


def _stored(where: str, spec: ModelSpec) -> dict[str, StoredTensor]:
    """What the weight files hold, as far as they are on this machine."""
    folder = snapshot(spec.source, spec.revision) if spec.kind == "hub" else Path(where)
    try:
        return stored_tensors(folder) if folder is not None else {}
    except OSError:
        if spec.kind == "hub":  # not all of it is downloaded yet
            return {}
        raise


def _bytes_needed(
    stored: dict[str, StoredTensor],
    answer: HubAnswer | None,
    precision: torch.dtype,
    quantised: Quantisation | None,
) -> int | None:
    counted = answer.n_parameters if answer is not None else {}
    tensors = [*stored.values()] or [StoredTensor(dtype, (count,)) for dtype, count in counted.items()]
    bits = quantised.bits if quantised is not None else None
    return bytes_of(tensors, precision.itemsize, bits) if tensors else None
