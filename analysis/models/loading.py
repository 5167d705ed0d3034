"""Loading a model: from the hub, a folder, a ``.gguf`` file, or the embedded default.

No code from a model repository is run and no pickle is read.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from analysis.errors import AnalysisError, ModelNotFoundError
from analysis.models.anatomy import Anatomy, find_anatomy
from analysis.models.embedded import embedded_folder
from analysis.models.gguf_file import check_gguf, read_gguf
from analysis.models.load_errors import (
    as_analysis_error,
    is_out_of_memory,
    no_memory_for,
    require_all_weights,
)
from analysis.models.preflight import require_weights_fit
from analysis.models.spec import EMBEDDED, ModelSpec, Precision
from analysis.models.speed import Speed

if TYPE_CHECKING:
    from analysis.forward.attention_probe import AttentionSupport
    from analysis.forward.row_check import MaskProof

_HUB_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class ModelInfo:
    """What a screen says about a loaded model. Plain values, safe to read from any thread."""

    name: str
    family: str
    """``model_type`` of the config."""
    revision: str
    """Commit of a hub model, fingerprint of a local one."""
    device: str
    """Device as torch names it."""
    device_name: str
    """Device as a person names it."""
    dtype: str
    n_parameters: int
    bytes_held: int
    """Bytes of all parameters and buffers."""
    n_layers: int
    hidden_size: int
    vocab_size: int
    """Rows of the vocabulary head."""
    n_padded_ids: int
    """Rows of the head that no token of the tokenizer uses. They take part in every softmax."""
    context_length: int | None
    """Tokens the model was built for, None if the config does not say."""
    head_error: float
    """Largest difference between our logits and the library's in the probe."""
    note: str = ""
    """What a person should know about these weights."""


@dataclass(eq=False)
class LanguageModel:
    """A loaded model with its tokenizer. Hold ``lock`` for everything that touches it."""

    model: Any
    """transformers' model."""
    tokenizer: Any
    """transformers' tokenizer."""
    spec: ModelSpec
    info: ModelInfo
    anatomy: Anatomy
    speed: Speed
    attention: AttentionSupport | None = None
    """In which layers attention can be measured, or why it cannot; None until the first run has seen."""
    mask_proof: MaskProof | None = None
    """Masks that were held against the library's, up to which length; None until the first run has."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)


def load_model(
    source: str | ModelSpec = EMBEDDED,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: Precision = "auto",
) -> LanguageModel:
    """Load a causal language model.

    Parameters
    ----------
    source : str or ModelSpec
        "embedded" (the default, nothing is fetched), a hub id "org/name", a folder
        with safetensors weights, or a ``.gguf`` file.
    revision : str, optional
        Branch, tag or commit of a hub model.
    device : str
        "auto" takes CUDA when there is one.
    dtype : {"auto", "float32", "bfloat16", "float16"}
        "auto" is float32 on the CPU, the checkpoint's own precision elsewhere.

    Returns
    -------
    LanguageModel

    Raises
    ------
    ModelNotFoundError, BrokenFileError, UnsupportedModelError, OutOfMemoryError
        Each with one sentence and what to do.
    """
    spec = source if isinstance(source, ModelSpec) else ModelSpec(source, revision, device, dtype)
    target = resolve_device(spec.device)
    note = ""
    if spec.kind == "gguf":
        check_gguf(spec.path)
        precision = _precision(spec.dtype, target, None)
        model, tokenizer = read_gguf(spec.path, precision)
        note = "Weights of the .gguf file, expanded from their quantised blocks."
    else:
        where = {"embedded": lambda: str(embedded_folder()), "folder": lambda: str(_folder(spec.path))}
        model, tokenizer = _from_pretrained(where.get(spec.kind, lambda: spec.source)(), spec, target)
        if spec.kind == "embedded":
            note = (
                "4-bit weights (Q4_1), expanded: its numbers differ a little from the original checkpoint's."
            )
    try:
        model = model.to(target).eval()
        model.requires_grad_(False)
        anatomy = find_anatomy(model)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise no_memory_for(spec, str(target)) from None
    info = _describe(model, tokenizer, spec, target, anatomy, note)
    return LanguageModel(model, tokenizer, spec, info, anatomy, Speed.measure(model, target))


def resolve_device(device: str) -> torch.device:
    """Device to use; "auto" is the first CUDA device, else Apple's, else the CPU.

    Raises
    ------
    AnalysisError
        If the device asked for is not there.
    """
    if device == "auto":
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


def _precision(asked: Precision, device: torch.device, checkpoint: torch.dtype | None) -> torch.dtype:
    if asked != "auto":
        return getattr(torch, asked)
    if device.type == "cpu" or checkpoint is None:
        return torch.float32
    if checkpoint == torch.bfloat16 and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    return checkpoint


def _folder(path: Path) -> Path:
    """Refuse a folder that cannot hold a model, before the library tries it as a hub id."""
    if not path.is_dir():
        raise ModelNotFoundError(f"There is no folder {path}.", "Check the path.")
    if not (path / "config.json").is_file():
        raise ModelNotFoundError(
            f"The folder {path} has no config.json.", "Choose the folder of a saved model."
        )
    if not any(path.glob("*.safetensors")):
        pickled = any(any(path.glob(f"*.{ending}")) for ending in ("bin", "pt", "pth", "ckpt"))
        raise ModelNotFoundError(
            f"The folder {path} has no safetensors weights.",
            "Pickled weights (.bin, .pt) are not read because they can run code: convert them to safetensors."
            if pickled
            else "Choose the folder that save_pretrained wrote, weights included.",
        )
    return path


def _from_pretrained(where: str, spec: ModelSpec, device: torch.device) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    common = {"revision": spec.revision or "main", "trust_remote_code": False}
    try:
        common["local_files_only"] = spec.kind != "hub" or not _hub_has(spec)
        config = AutoConfig.from_pretrained(where, **common)
        checkpoint = getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None)
        tokenizer = AutoTokenizer.from_pretrained(where, **common)
        if spec.kind != "hub":
            stored = sum(f.stat().st_size for f in Path(where).glob("*.safetensors"))
            require_weights_fit(stored, device, spec.name)
        model, loaded = AutoModelForCausalLM.from_pretrained(
            where,
            dtype=_precision(spec.dtype, device, checkpoint),
            use_safetensors=True,
            output_loading_info=True,
            **common,
        )
        require_all_weights(loaded, spec.name)
    except Exception as error:
        raise as_analysis_error(error, spec) from error
    return model, tokenizer


def _hub_has(spec: ModelSpec) -> bool:
    """Ask the hub once whether the model exists; False when it cannot be reached.

    Without this, a missing network is only noticed after minutes of retries.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if constants.is_offline_mode():
        return False
    try:
        HfApi().model_info(spec.source, revision=spec.revision, timeout=_HUB_TIMEOUT_SECONDS)
    except (HfHubHTTPError, HFValidationError):
        raise
    except Exception as error:
        if type(error).__module__.split(".")[0] not in {"httpx", "httpx2", "httpcore", "httpcore2"}:
            raise
        return False
    return True


def _describe(
    model: Any, tokenizer: Any, spec: ModelSpec, device: torch.device, anatomy: Anatomy, note: str
) -> ModelInfo:
    config = model.config.get_text_config()
    held = {t.data_ptr(): t.numel() * t.element_size() for t in [*model.parameters(), *model.buffers()]}
    context = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return ModelInfo(
        name=spec.name,
        family=str(config.model_type),
        revision=getattr(model.config, "_commit_hash", None) or spec.fingerprint(),
        device=str(device),
        device_name=device_name(device),
        dtype=str(model.dtype).removeprefix("torch."),
        n_parameters=sum(p.numel() for p in model.parameters()),
        bytes_held=sum(held.values()),
        n_layers=len(anatomy.layers),
        hidden_size=int(anatomy.head.weight.shape[1]),
        vocab_size=anatomy.head.vocab_size,
        n_padded_ids=max(0, anatomy.head.vocab_size - len(tokenizer)),
        context_length=int(context) if context else None,
        head_error=anatomy.head_error,
        note=note,
    )
