"""Adapters (LoRA and its kin), merged into the weights of their base in memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError, BrokenFileError, ModelNotFoundError, UnsupportedModelError
from analysis.models.adapter_files import ADAPTER_CONFIG, adapter_settings
from analysis.models.hub import query_hub
from analysis.models.load_errors import as_analysis_error
from analysis.models.spec import ModelSpec, is_folder
from analysis.models.stored import ADAPTER_WEIGHTS, tensors_of

_NOT_WEIGHTS = frozenset({"ADAPTION_PROMPT", "XLORA", "POLY"})
"""Kinds of adapters, beside prompts, that stay a part of their own."""


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

        spec = ModelSpec(adapter)
        patterns = ["*.json", ADAPTER_WEIGHTS, "*.model", "*.txt", "*.jinja"]
        try:
            offline = not query_hub(spec).reachable
            path = Path(snapshot_download(adapter, allow_patterns=patterns, local_files_only=offline))
        except Exception as error:
            raise as_analysis_error(error, spec) from error
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
    settings = adapter_settings(folder)
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
            "LoRA and similar ones can; choose the base alone, or such an adapter.",
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft's calls of what transformers will drop
            attached = PeftModel(model, config)
            result = attached.load_adapter(str(folder), "default", torch_device="cpu")
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
