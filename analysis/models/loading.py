"""Loading a model: from the hub, a folder, a ``.gguf`` file, or the embedded default.

No code from a model repository is run and no pickle is read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from analysis.errors import ModelNotFoundError, OutOfMemoryError, TooLongError
from analysis.models.adapter_files import ADAPTER_CONFIG
from analysis.models.adapters import adapter_folder, merge_adapter, require_mergeable
from analysis.models.anatomy import Anatomy, find_anatomy
from analysis.models.embedded import embedded_folder
from analysis.models.gguf_file import check_gguf, read_gguf
from analysis.models.hub import commit_of
from analysis.models.load_errors import no_memory_for
from analysis.models.placement import choose_placement, device_name, placement_note, places
from analysis.models.pretrained import Opened, choose_precision, open_pretrained
from analysis.models.spec import EMBEDDED, ModelSpec, Precision
from analysis.models.speed import Speed
from analysis.models.stored import weight_files
from analysis.models.tokenization import limit_ids
from analysis.models.tokenizer_files import read_tokenizer
from analysis.out_of_memory import when_memory_runs_out


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
    weights: str = ""
    """How the weights were stored, in words such as "float8"; empty for plain ones."""
    notes: tuple[str, ...] = ()
    """What a person should know about this model, a sentence each."""

    @property
    def precision(self) -> str:
        """Stored and computed precision as a screen says them."""
        return f"{self.weights} weights, computed in {self.dtype}" if self.weights else self.dtype


@dataclass(eq=False)
class LanguageModel:
    """A loaded model with its tokenizer. Hold it, or its ``lock``, for everything that touches it."""

    model: Any
    """transformers' model."""
    tokenizer: Any
    """transformers' tokenizer."""
    spec: ModelSpec
    info: ModelInfo
    anatomy: Anatomy
    speed: Speed
    found: dict[type, Any] = field(default_factory=dict, repr=False)
    """What other rooms have found out about this model, by the kind of fact; gone with it."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def full(self, doing: str, instead: str = "") -> OutOfMemoryError:
        """What is said when the memory of its device runs out.

        Parameters
        ----------
        doing : str
            How the sentence ends, such as "while writing".
        instead : str, optional
            What else than a shorter text would help.
        """
        return OutOfMemoryError(
            f"{self.info.device_name} ran out of memory {doing}.",
            f"Shorten the text, {instead and f'{instead}, '}choose a lower precision, or free the device.",
        )

    def require_room(self, what: str, n_tokens: int) -> None:
        """Refuse more tokens than the model reads.

        Raises
        ------
        TooLongError
            With ``what`` these tokens are, in the plural.
        """
        limit = self.info.context_length
        if limit is not None and n_tokens > limit:
            raise TooLongError(
                f"{what} have {n_tokens:,} tokens together and {self.info.name} reads at most {limit:,}.",
                "Shorten one of them.",
            )

    @contextmanager
    def held(self, doing: str, instead: str = "") -> Iterator[None]:
        """Hold the model without gradients; parameters as :meth:`full`, which is raised when memory runs out."""
        with self.lock, torch.inference_mode(), when_memory_runs_out(self.full(doing, instead)):
            yield


def load_model(
    source: str | ModelSpec = EMBEDDED,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: Precision = "auto",
    adapter: str | None = None,
    device_map: Mapping[str, str | int] | None = None,
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
        "auto" takes CUDA when there is one, and spreads weights that do not fit over all devices;
        "spread" always does.
    dtype : {"auto", "float32", "bfloat16", "float16"}
        "auto" is float32 on the CPU, the checkpoint's own precision elsewhere.
    adapter : str, optional
        Folder or hub id of an adapter (LoRA and its kin), merged into the weights in memory by ``peft``.
        Without it the model alone is loaded, whatever lies beside it.
    device_map : mapping, optional
        Where each module goes, as accelerate writes it: ``{"model.layers.0": "cuda:0", "lm_head": "disk"}``.

    Returns
    -------
    LanguageModel

    Raises
    ------
    ModelNotFoundError, BrokenFileError, UnsupportedModelError, OutOfMemoryError
        Each with one sentence and what to do.
    """
    if isinstance(source, ModelSpec):
        spec = source
    else:
        placed = tuple((module, str(place)) for module, place in (device_map or {}).items())
        spec = ModelSpec(source, revision, device, dtype, adapter, placed)
    merged = None
    if spec.adapter is not None:
        merged = adapter_folder(spec.adapter)
        require_mergeable(merged, spec.adapter)
    opened = _open(spec)
    if merged is not None and spec.adapter is not None:
        _merge(opened, merged, spec)
    model, target = opened.model, opened.placement.device
    with when_memory_runs_out(no_memory_for(spec, str(target))):
        if opened.placement.device_map is None:
            model = model.to(target)
        model.eval().requires_grad_(False)
        anatomy = find_anatomy(model)
    info = _describe(opened, spec, anatomy)
    speed = Speed.measure(anatomy.head.weight.device, model.dtype)
    return LanguageModel(model, opened.tokenizer, spec, info, anatomy, speed)


def _open(spec: ModelSpec) -> Opened:
    """Read the model of a spec, the adapter left out."""
    if spec.kind == "gguf":
        check_gguf(spec.path)
        precision, placement = choose_precision(spec, None), choose_placement(spec, None)

        def place(n_weights: int) -> dict[str, Any]:
            nonlocal placement
            placement = choose_placement(spec, n_weights * precision.itemsize)
            return placement.options(None)

        model, tokenizer, facts, split = read_gguf(spec.path, precision, place)
        notes = ["Weights of the .gguf file, expanded from their quantised blocks.", split]
        return Opened(model, tokenizer, placement, notes, facts.blocks)
    if spec.kind == "embedded":
        opened = open_pretrained(str(embedded_folder()), spec)
        opened.notes.append(
            "4-bit weights (Q4_1), expanded: its numbers differ a little from the original checkpoint's."
        )
        return opened
    return open_pretrained(str(_folder(spec.path)) if spec.kind == "folder" else spec.source, spec)


def _merge(opened: Opened, folder: Path, spec: ModelSpec) -> None:
    """Merge an adapter, and take its tokenizer where it brings one of its own."""
    shown = str(spec.adapter)
    opened.model = merge_adapter(opened.model, folder, shown)
    opened.notes.append(f"The adapter {shown} is merged into the weights, in memory.")
    files = {path.name for path in folder.iterdir()}
    own = spec.kind == "folder" and folder.resolve() == spec.path.resolve()
    if not own and {"tokenizer.json", "tokenizer_config.json"} <= files:
        opened.tokenizer, _ = read_tokenizer(str(folder), files, shown, {"trust_remote_code": False})
        opened.notes.append("The tokenizer is the one that the adapter brings.")


def _folder(path: Path) -> Path:
    """Refuse a folder that cannot hold a model, before the library tries it as a hub id."""
    if not path.is_dir():
        raise ModelNotFoundError(f"There is no folder {path}.", "Check the path.")
    if (path / ADAPTER_CONFIG).is_file():
        return path
    if not (path / "config.json").is_file():
        raise ModelNotFoundError(
            f"The folder {path} has no config.json.", "Choose the folder of a saved model."
        )
    if not weight_files(path):
        pickled = any(any(path.glob(f"*.{ending}")) for ending in ("bin", "pt", "pth", "ckpt"))
        raise ModelNotFoundError(
            f"The folder {path} has no safetensors weights.",
            "Pickled weights (.bin, .pt) are not read because they can run code: convert them to safetensors."
            if pickled
            else "Choose the folder that save_pretrained wrote, weights included.",
        )
    return path


def _describe(opened: Opened, spec: ModelSpec, anatomy: Anatomy) -> ModelInfo:
    model, tokenizer, target = opened.model, opened.tokenizer, opened.placement.device
    config = model.config.get_text_config()
    tensors = [*model.parameters(), *model.buffers()]
    held = {t.data_ptr(): t.numel() * t.element_size() for t in tensors if not t.is_meta}
    context = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    spread = places(model)
    embedding = getattr(model.get_input_embeddings(), "weight", anatomy.head.weight)
    rows = min(embedding.shape[0], anatomy.head.vocab_size)
    over = limit_ids(tokenizer, rows)
    notes = [*opened.notes, placement_note(model, opened.placement.why), _over_note(over, rows)]
    return ModelInfo(
        name=spec.name,
        family=str(config.model_type),
        revision=spec.fingerprint(commit_of(spec) if spec.kind == "hub" else None),
        device=" + ".join(spread) or str(target),
        device_name=" + ".join(spread) or device_name(target),
        dtype=str(model.dtype).removeprefix("torch."),
        n_parameters=_n_parameters(model),
        bytes_held=sum(held.values()),
        n_layers=len(anatomy.layers),
        hidden_size=int(anatomy.head.weight.shape[1]),
        vocab_size=anatomy.head.vocab_size,
        n_padded_ids=max(0, anatomy.head.vocab_size - len(tokenizer)),
        context_length=int(context) if context else None,
        head_error=anatomy.head_error,
        weights=opened.weights,
        notes=tuple(note for note in notes if note),
    )


def _n_parameters(model: Any) -> int:
    """Weights of the model; one that stands in two places counts once, wherever it is held."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    return sum(size for name, size in sizes.items() if tied.get(name) not in sizes)


def _over_note(over: list[str], rows: int) -> str:
    if not over:
        return ""
    shown = ", ".join(repr(token)[:40] for token in over[:3]) + (" and so on" if len(over) > 3 else "")
    return (
        f"{len(over):,} tokens of the tokenizer ({shown}) lie past the {rows:,} rows of the model; "
        "a text that holds one is refused."
    )
