"""A plain LoRA adapter, as peft saves it, matched with the layers of a loaded model. Needs no ``peft``.

Source: Hu et al., LoRA (2021), equation 3: ``W x + (alpha / r) B A x``. ``alpha / sqrt(r)`` is rank-stabilised LoRA
(Kalajdzievski 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from analysis.errors import BrokenFileError, UnsupportedModelError
from analysis.models.adapter_files import adapter_settings
from analysis.models.library_parts import transposed_linear
from analysis.models.stored import ADAPTER_WEIGHTS

_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_NOT_PLAIN = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
)
"""Settings of peft by which an adapter is more than one product of two matrices in each layer."""
_BASE_UNTOUCHED = frozenset({"gaussian", "eva", "orthogonal", "mica"})
"""Ways to begin, beside peft's own, that leave the weights of the base as they are."""
_HINT = "Merge it instead: load_model(base, adapter=...) takes every kind that peft merges."


@dataclass(frozen=True)
class Factors:
    """The two matrices of one layer."""

    module: nn.Module
    """The layer of the model that they belong to."""
    down: Tensor
    """A, float32, (r, in)."""
    up: Tensor
    """B times alpha / r, float32, (out, r)."""


def lora_factors(model: Any, folder: Path, shown: str) -> list[Factors]:
    """The matrices of an adapter, a pair for each layer that it changes.

    Parameters
    ----------
    model : PreTrainedModel
        Its base.
    folder : pathlib.Path
        Where peft saved it.
    shown : str
        Name of the adapter, for messages.

    Raises
    ------
    BrokenFileError
        If a file is damaged, or the adapter is of another model.
    UnsupportedModelError
        If it is not plain LoRA, or changes the vocabulary head.
    """
    settings = adapter_settings(folder)
    scale, rank = _scale(settings, shown)
    modules = dict(model.named_modules())
    found, alone = _pairs(_tensors(folder, shown), shown)
    strange = [*alone, *_left_out(settings, modules, found)]
    strange += [path for path, pair in found.items() if not _fits(modules.get(path), *pair, rank)]
    if strange or not found:
        raise BrokenFileError(
            f"The adapter {shown} does not belong to this model ({(strange or ['it'])[0][:120]} does not fit).",
            "Use it with the base that its adapter_config.json names.",
        )
    if any(modules[path] is model.get_output_embeddings() for path in found):
        raise UnsupportedModelError(
            f"The adapter {shown} changes the vocabulary head, which is read by its weight.", _HINT
        )
    return [Factors(modules[path], down.float(), up.float() * scale) for path, (down, up) in found.items()]


def _tensors(folder: Path, shown: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / ADAPTER_WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise BrokenFileError(
            f"{ADAPTER_WEIGHTS} of the adapter {shown} is damaged.", "Copy it again."
        ) from error


def _pairs(held: dict[str, Tensor], shown: str) -> tuple[dict[str, tuple[Tensor, Tensor]], list[str]]:
    """Both matrices by the path of their layer, and the paths that have only one of them."""
    other = [name for name in held if not name.endswith((_DOWN, _UP))]
    if other:
        raise UnsupportedModelError(
            f"The adapter {shown} is not plain LoRA: it holds {other[0][:120]}.", _HINT
        )
    down, up = (
        {n.removeprefix(_PREFIX).removesuffix(end): t for n, t in held.items() if n.endswith(end)}
        for end in (_DOWN, _UP)
    )
    return {path: (down[path], up[path]) for path in down if path in up}, sorted(set(down) ^ set(up))


def _fits(module: nn.Module | None, down: Tensor, up: Tensor, rank: int) -> bool:
    """Whether a layer is a linear one of the right size."""
    if isinstance(module, nn.Linear):
        n_in, n_out = module.in_features, module.out_features
    elif module is not None and isinstance(module, transposed_linear()):
        weight: Any = module.weight
        n_in, n_out = weight.shape
    else:
        return False
    return tuple(down.shape) == (rank, n_in) and tuple(up.shape) == (n_out, rank)


def _left_out(settings: dict[str, Any], modules: dict[str, nn.Module], found: Any) -> list[str]:
    """Layers that the settings name and the file leaves out."""
    targets = settings.get("target_modules")
    some = settings.get("layers_to_transform") is not None or settings.get("exclude_modules")
    if some or not isinstance(targets, list):
        return []
    return [p for p in modules if p not in found and any(p == t or p.endswith(f".{t}") for t in targets)]


def _scale(settings: dict[str, Any], shown: str) -> tuple[float, int]:
    """``alpha / r``, or ``alpha / sqrt(r)``, and r."""
    kind, task = settings.get("peft_type"), settings.get("task_type")
    begin = settings.get("init_lora_weights", True)
    more = [name for name in _NOT_PLAIN if settings.get(name)]
    if settings.get("bias", "none") != "none":
        more.append("bias")
    if isinstance(begin, str) and begin not in _BASE_UNTOUCHED:
        more.append(f"init_lora_weights {begin[:40]}")
    if kind != "LORA" or task not in (None, "CAUSAL_LM"):
        more.insert(0, str(kind if kind != "LORA" else task)[:40])
    if more:
        raise UnsupportedModelError(
            f"The adapter {shown} is not a plain LoRA adapter of a causal language model ({more[0]}).", _HINT
        )
    rank, alpha = settings.get("r"), settings.get("lora_alpha")
    if (
        not isinstance(rank, int)
        or rank < 1
        or not isinstance(alpha, (int, float))
        or not math.isfinite(alpha)
    ):
        raise BrokenFileError(
            f"The settings of the adapter {shown} have no rank or no alpha.",
            "Copy adapter_config.json again.",
        )
    return alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank), rank
