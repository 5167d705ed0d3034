"""Loading a vision-language model: the shipped one, a hub id or a folder.

No code from a model repository is run and no pickle is read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from analysis.errors import AnalysisError, ModelNotFoundError, UnsupportedModelError
from analysis.models import memory
from analysis.models.hub import commit_of, query_hub
from analysis.models.load_errors import as_analysis_error, causes, no_memory_for, require_all_weights
from analysis.models.loading import ModelInfo
from analysis.models.placement import device_name, resolve_device
from analysis.models.pretrained import choose_precision
from analysis.models.quantised import find_quantisation
from analysis.models.spec import ModelSpec, Precision
from analysis.models.stored import bytes_of, stored_tensors
from analysis.out_of_memory import when_memory_runs_out
from analysis.visual_tokens.parts import image_token_id, language_layers
from analysis.visual_tokens.positions import KNOWN_FAMILIES
from analysis.visual_tokens.shipped.folder import FOLDER
from analysis.visual_tokens.vision_model import VisionModel

SHIPPED = "shipped"
"""Source name of the vision-language model that comes with the project."""


def load_vision_model(
    source: str | ModelSpec | None = None,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: Precision = "auto",
) -> VisionModel:
    """Load a vision-language model.

    Parameters
    ----------
    source : str or ModelSpec, optional
        The shipped model by default (nothing is fetched); a hub id "org/name", or a folder with safetensors weights.
    revision : str, optional
        Branch, tag or commit of a hub model.
    device : str
        "auto" takes CUDA when there is one.
    dtype : {"auto", "float32", "bfloat16", "float16"}
        "auto" is float32 on the CPU, the checkpoint's own precision elsewhere.

    Returns
    -------
    VisionModel

    Raises
    ------
    ModelNotFoundError, BrokenFileError, UnsupportedModelError, OutOfMemoryError
        Each with one sentence and what to do.
    """
    spec = source if isinstance(source, ModelSpec) else ModelSpec(source or SHIPPED, revision, device, dtype)
    shipped = spec.source == SHIPPED
    place = replace(spec, source=f"{FOLDER}/", revision=None) if shipped else spec
    if spec.adapter is not None or spec.device_map or spec.device == "spread":
        raise AnalysisError(
            "A vision-language model is loaded whole, on one device, without an adapter.", "Leave these out."
        )
    if place.kind == "gguf":
        raise UnsupportedModelError(
            "A .gguf file holds no vision tower that is read here.", "Use a hub id or a folder."
        )
    try:
        model, processor = _open(place)
    except Exception as error:
        raise _loading_error(error, place) from error
    with when_memory_runs_out(no_memory_for(place, spec.device)):
        model = model.to(resolve_device(spec.device)).eval().requires_grad_(False)
    tokenizer = processor.tokenizer
    info = _describe(model, tokenizer, place, "shipped vision model" if shipped else spec.name)
    return VisionModel(model, processor, tokenizer, spec, info)


def _open(spec: ModelSpec) -> tuple[Any, Any]:
    """Model and processor; checked before the weights are read."""
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    if spec.kind == "folder" and not (spec.path / "config.json").is_file():
        raise ModelNotFoundError(f"There is no model in {spec.path}.", "Choose the folder of a saved model.")
    where = str(spec.path) if spec.kind == "folder" else spec.source
    answer = query_hub(spec) if spec.kind == "hub" else None
    options: dict[str, Any] = {
        "revision": spec.revision or "main",
        "trust_remote_code": False,
        "local_files_only": answer is None or not answer.reachable,
    }
    config = AutoConfig.from_pretrained(where, **options)
    _require_known(config, spec)
    target = resolve_device(spec.device)
    precision = choose_precision(spec, config)
    if spec.kind == "folder":
        memory.require_weights_fit(
            bytes_of(stored_tensors(spec.path).values(), precision.itemsize, None), target, spec.name
        )
    processor = AutoProcessor.from_pretrained(where, **options)
    if getattr(processor.image_processor, "do_pan_and_scan", False):
        raise UnsupportedModelError(
            f"{spec.name} cuts pictures by pan and scan, and where its visual tokens lie is then not known here.",
            "Switch do_pan_and_scan off in its processor's configuration.",
        )
    model, loaded = AutoModelForImageTextToText.from_pretrained(
        where, config=config, dtype=precision, use_safetensors=True, output_loading_info=True, **options
    )
    require_all_weights(loaded, spec.name)
    return model, processor


def _require_known(config: Any, spec: ModelSpec) -> None:
    """Refuse what has no tower, another family, quantised weights, or a tower whose tokens have no known place."""
    if config.model_type not in KNOWN_FAMILIES:
        raise UnsupportedModelError(
            f"{spec.name} is of the family {config.model_type}, whose visual tokens are not known here.",
            f"Known: {', '.join(KNOWN_FAMILIES)}.",
        )
    if getattr(config.vision_config, "model_type", "") == "pixtral":
        raise UnsupportedModelError(
            f"{spec.name} has a Pixtral tower, whose visual tokens have no known place on the picture here.",
            "Choose a LLaVA model with a CLIP or SigLIP tower.",
        )
    if find_quantisation(config, spec.name, resolve_device(spec.device)) is not None:
        raise UnsupportedModelError(
            f"The weights of {spec.name} are quantised, which is not read for vision-language models.",
            "Choose an unquantised copy.",
        )


def _loading_error(error: Exception, spec: ModelSpec) -> AnalysisError:
    """One sentence for what went wrong; a torchvision built for another torch hides the classes that need it."""
    said = " ".join(str(cause) for cause in causes(error))
    if "torchvision" in said or "Could not import module" in said:
        return ModelNotFoundError(
            f"{spec.name} could not be opened because the installed torchvision does not fit torch.",
            "Remove torchvision (`pip uninstall torchvision`), or install the build of your torch.",
        )
    return as_analysis_error(error, spec)


def _describe(model: Any, tokenizer: Any, spec: ModelSpec, name: str) -> ModelInfo:
    text = model.config.get_text_config()
    tensors = {t.data_ptr(): t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers())}
    head = model.get_output_embeddings().weight
    image_token_id(model)  # refused here, not at the first question
    return ModelInfo(
        name=name,
        family=str(model.config.model_type),
        revision=spec.fingerprint(commit_of(spec) if spec.kind == "hub" else None),
        device=str(model.device),
        device_name=device_name(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        n_parameters=sum(p.numel() for p in model.parameters()),
        bytes_held=sum(tensors.values()),
        n_layers=len(language_layers(model)),
        hidden_size=int(text.hidden_size),
        vocab_size=int(head.shape[0]),
        n_padded_ids=max(0, int(head.shape[0]) - len(tokenizer)),
        context_length=getattr(text, "max_position_embeddings", None),
        head_error=0.0,  # the library's own head is used
    )
