"""Guards against weights of few bits that would be used with a wrong scale, or with none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from analysis.errors import BrokenFileError, UnsupportedModelError
from analysis.models.library_parts import is_brought_in
from analysis.models.quantised import INSTEAD, Quantisation
from analysis.models.stored import PLAIN, StoredTensor

_SCALES = re.compile(
    r"(weight_scale(_inv|_2)?|scale_inv|weight_packed|\.q?weight_scales|\.qweight|\.qzeros|\.scales|\.absmax|\.SCB)$"
)


def require_scaled(
    model: Any, stored: Mapping[str, StoredTensor], loaded: Mapping[str, Any], quantised: bool, name: str
) -> None:
    """Refuse a model in which a weight of few bits would be used without its scale.

    Parameters
    ----------
    model : PreTrainedModel
        Loaded, and expanded where that is done.
    stored : mapping of str to StoredTensor
        What its files hold; empty where they are not at hand.
    loaded : mapping
        What ``from_pretrained(..., output_loading_info=True)`` tells.
    quantised : bool
        Whether a quantisation of the library read the weights.
    name : str
        Of the model, for the message.

    Raises
    ------
    BrokenFileError
        Naming the first such weight.
    """
    wrong = sorted(key for key in loaded.get("unexpected_keys", ()) if _SCALES.search(key))
    own = {key for key, _ in model.named_parameters()}
    scaled = {module for key in stored if (module := _module_scaled_by(key))}
    wrong += sorted(
        key
        for key, tensor in stored.items()
        if tensor.dtype not in PLAIN
        and len(tensor.shape) > 1
        and (key.endswith("weight") or (key in own and not quantised))
        and not (quantised and key.rpartition(".")[0] in scaled)
    )
    for key, module in model.named_modules():
        runs_itself = "forward" not in vars(module) or is_brought_in(module)
        weight: Any = module.weight if type(module) in (nn.Linear, nn.Embedding) and runs_itself else None
        if type(weight) is nn.Parameter and (not weight.is_floating_point() or weight.element_size() < 2):
            wrong.append(f"{key}.weight")
    if wrong:
        raise BrokenFileError(
            f"The weights of {name} are stored in few bits, and {wrong[0]} would be read without its scale.",
            f"The checkpoint does not say how it is quantised: {INSTEAD}.",
        )


def _module_scaled_by(key: str) -> str | None:
    """Module whose weight a stored tensor may belong to; None for weights and biases themselves.

    ``x.weight_scale`` and ``x.weight.absmax`` both stand beside the weight of ``x``.
    """
    if key.endswith((".weight", ".bias")):
        return None
    return key.partition(".weight.")[0] if ".weight." in key else key.rpartition(".")[0]


def require_whole_blocks(quantised: Quantisation, stored: Mapping[str, StoredTensor], name: str) -> None:
    """Refuse weights whose last blocks are cut off: expanding, transformers stretches the others over them.

    Raises
    ------
    UnsupportedModelError
        Naming the first such weight.
    """
    size = quantised.settings.get("weight_block_size") if quantised.settings.get("dequantize") else None
    for key, tensor in stored.items():
        scale = stored.get(f"{key}_scale_inv")
        if not size or scale is None or scale.n_values == 1:
            continue
        if any(side % block for side, block in zip(tensor.shape[-2:], size, strict=False)):
            raise UnsupportedModelError(
                f"The blocks of {name} do not divide {key}, and transformers gives such weights wrong scales.",
                f"It runs on a CUDA device; here, {INSTEAD}.",
            )
