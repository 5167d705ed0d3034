"""An adapter beside the weights of a loaded model, at any strength, and off again.

``W x`` becomes ``W x + strength (alpha / r) B A x``. W is not touched, so what was there before comes back bit for bit;
merging and taking out again rounds twice and changes some of the weights.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from analysis.comparison.lighthouse import FOLDER, LIGHTHOUSE
from analysis.comparison.lora import Factors, lora_factors
from analysis.errors import AnalysisError, UnsupportedModelError
from analysis.models.adapters import adapter_folder
from analysis.models.loading import LanguageModel, ModelInfo
from analysis.models.spec import ModelSpec
from analysis.models.stored import ADAPTER_WEIGHTS


def adapter_path(adapter: str | Path) -> Path:
    """Folder of an adapter: the shipped one by its name, "lighthouse", or as for ``load_model(adapter=)``.

    Raises
    ------
    ModelNotFoundError
        If there is no adapter there.
    """
    return FOLDER if str(adapter) == LIGHTHOUSE else adapter_folder(str(adapter))


@contextmanager
def attached(model: LanguageModel, adapter: str | Path, strength: float = 1.0) -> Iterator[LanguageModel]:
    """The same loaded model with an adapter beside its weights while the context is open.

    Parameters
    ----------
    model : LanguageModel
        Base of the adapter, nothing merged into it. It is held meanwhile, so that nobody else reads with it.
    adapter : str or pathlib.Path
        "lighthouse", or a folder or hub id of a plain LoRA adapter as peft saves it.
    strength : float, default 1
        Factor of the product; 0 leaves the base as it is.

    Yields
    ------
    LanguageModel
        Base and adapter, for use inside the context only.

    Raises
    ------
    ModelNotFoundError, BrokenFileError, UnsupportedModelError
        If there is no adapter, it is damaged, it is not plain LoRA, or it does not belong to this model.

    Notes
    -----
    Products are computed in float32 at least. The vocabulary head is read by its weight, so an adapter of the head is
    refused. ``extreme_tokens`` and CriticalKV read the weight of the output projection and see that of the base.
    """
    if not math.isfinite(strength):
        raise AnalysisError(f"The strength of an adapter cannot be {strength}.", "Give a number such as 0.5.")
    if model.spec.adapter is not None:
        raise UnsupportedModelError(
            f"An adapter is already merged into {model.info.name}.", "Load the base alone, without adapter=."
        )
    spec = replace(model.spec, adapter=str(adapter))
    folder = adapter_path(spec.adapter or "")
    with model.lock:
        factors = lora_factors(model.model, folder, spec.adapter or "")
        handles: list[Any] = []
        try:
            for pair in factors if strength else ():
                handles.append(pair.module.register_forward_hook(_beside(pair, strength)))
            yield replace(model, spec=spec, info=_info(model, spec, folder, strength), found={})
        finally:
            for handle in handles:
                handle.remove()


def _beside(factors: Factors, strength: float) -> Callable[..., Tensor]:
    """What adds the product of two matrices to the output of a linear layer."""
    down, up = factors.down, factors.up * strength

    def add(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        nonlocal down, up
        states = args[0]
        exact = torch.promote_types(states.dtype, torch.float32)
        down, up = down.to(states.device, exact), up.to(states.device, exact)
        product = states.to(exact) @ down.T @ up.T
        return (output.to(exact) + product.to(output.device)).to(output.dtype)

    return add


def _info(model: LanguageModel, spec: ModelSpec, folder: Path, strength: float) -> ModelInfo:
    """What a screen says about base and adapter."""
    with (folder / ADAPTER_WEIGHTS).open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    return replace(
        model.info,
        name=spec.name,
        revision=f"{model.info.revision}+{weights}×{strength:g}",
        notes=(
            *model.info.notes,
            f"The adapter {spec.adapter} is beside the weights with strength {strength:g}.",
        ),
    )
