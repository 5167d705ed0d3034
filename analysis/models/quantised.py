"""Quantised checkpoints: their packages, and their weights made plain.

Weights of few bits are expanded to plain ones where the library can, so that every measure works on them
and no rounding of activations is added. On CUDA, where memory is what they are quantised for, they run by
the kernels of their package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from analysis.errors import ModelNotFoundError, UnsupportedModelError
from analysis.models.gguf_file import drop_quantization
from analysis.models.library_parts import kept_in_float32, quantisation_names
from analysis.models.packed import is_unpacked_here

_PACKAGES = {
    "bitsandbytes": {"bitsandbytes": "bitsandbytes"},
    "gptq": {"optimum": "optimum", "gptqmodel": "gptqmodel"},
    "awq": {"gptqmodel": "gptqmodel"},
    "compressed-tensors": {"compressed_tensors": "compressed-tensors"},
    "torchao": {"torchao": "torchao"},
    "quanto": {"optimum.quanto": "optimum-quanto"},
    "hqq": {"hqq": "hqq"},
    "aqlm": {"aqlm": "aqlm[gpu,cpu]"},
    "auto-round": {"auto_round": "auto-round"},
    "quark": {"quark": "amd-quark"},
    "vptq": {"vptq": "vptq"},
    "spqr": {"spqr_quant": "spqr_quant[gpu]"},
    "higgs": {"flute": "flute-kernel", "fast_hadamard_transform": "fast_hadamard_transform"},
    "fp_quant": {"fp_quant": "fp_quant"},
    "eetq": {"kernels": "kernels"},
    "fouroversix": {"fouroversix": "fouroversix"},
    "sinq": {"sinq": "sinq"},
}
"""What each method of transformers needs: the module that is looked for, and what to install for it."""
_CUDA_ONLY = frozenset({"vptq", "spqr", "higgs", "eetq", "fbgemm_fp8", "nvfp4"})
_EXPANDED_BY_CONFIG = frozenset({"fp8", "mxfp8", "mxfp4", "compressed-tensors", "metal"})
INSTEAD = "use an unquantised copy or a .gguf file"


@dataclass(frozen=True)
class Quantisation:
    """How the weights of a checkpoint are stored when they are not plain."""

    method: str
    """As transformers calls it."""
    words: str
    """As a person says it: "float8", "4-bit"."""
    bits: int
    """Bits of one weight, as far as the config says."""
    settings: dict[str, Any]
    """The config's own dictionary."""
    unpacked_here: bool = False
    """Whether the weights are unpacked by :mod:`analysis.models.packed`."""

    def prepare(self, device: torch.device) -> None:
        """Ask the library to make plain weights while it loads, where it can and should."""
        if self.method in _EXPANDED_BY_CONFIG and device.type != "cuda":
            self.settings["dequantize"] = True

    def expand(self, model: Any, device: torch.device, dtype: torch.dtype) -> Any:
        """Make the weights of a loaded model plain, where that is not done yet and can be.

        Parameters
        ----------
        model : PreTrainedModel
            As the library loaded it.
        device : torch.device
            Where it will run; on CUDA it is left to its package.
        dtype : torch.dtype
            Precision of the plain weights.
        """
        if device.type == "cuda":
            return model
        if self.method == "bitsandbytes":
            model = model.dequantize(dtype)
        if self.method == "torchao":
            for module in model.modules():
                weight = getattr(module, "weight", None)
                if isinstance(weight, torch.Tensor) and type(weight).__module__.startswith("torchao."):
                    module.weight = nn.Parameter(weight.dequantize(), requires_grad=False)
            drop_quantization(model)
        if getattr(model, "hf_quantizer", None) is None:
            _unify(model, dtype)
        return model

    def note(self, model: Any) -> str:
        """What a person should know about a loaded model that was stored like this."""
        if getattr(model, "hf_quantizer", None) is None:
            return f"{self.words} weights ({self.method}), expanded; activations are not rounded."
        return f"{self.words} weights, run by the kernels of {self.method}, which may round activations."


def find_quantisation(config: Any, name: str, device: torch.device) -> Quantisation | None:
    """How a checkpoint is quantised, or None; refused where it cannot be read here.

    Parameters
    ----------
    config : PreTrainedConfig
        As the library read it.
    name : str
        Of the model, for messages.
    device : torch.device
        Where it will run.

    Raises
    ------
    UnsupportedModelError
        If transformers does not know the method, or it needs a GPU that is not there.
    ModelNotFoundError
        If its package is not installed, naming it.
    """
    settings = getattr(config, "quantization_config", None) or getattr(
        config.get_text_config(), "quantization_config", None
    )
    if not settings:
        return None
    if not isinstance(settings, dict):
        settings = settings.to_dict()
    packed = settings.get("load_in_4bit") or settings.get("load_in_8bit")
    method = str(getattr(settings.get("quant_method"), "value", settings.get("quant_method")))
    method = "bitsandbytes" if packed else method
    known = {key.removesuffix("_4bit").removesuffix("_8bit") for key in quantisation_names()}
    if method not in known:
        raise UnsupportedModelError(
            f"{name} is quantised by a method that transformers does not know ({method[:40]!r}).",
            f"Read as they are, its weights would be wrong: {INSTEAD}.",
        )
    if method in _CUDA_ONLY and not torch.cuda.is_available():
        raise UnsupportedModelError(
            f"{name} is quantised with {method}, which runs on a CUDA device only.",
            f"Move to a machine that has one, or {INSTEAD}.",
        )
    bits, words = _bits(method, settings)
    missing = [package for module, package in _PACKAGES.get(method, {}).items() if not _is_there(module)]
    if is_unpacked_here(method, settings) and (missing or device.type != "cuda"):
        return Quantisation(method, words, bits, settings, unpacked_here=True)
    if missing:
        which = "package" if len(missing) == 1 else "packages"
        raise ModelNotFoundError(
            f"{name} is quantised with {method}, and the {which} {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed.",
            f"Install with `pip install {' '.join(missing)}`, or {INSTEAD}.",
        )
    return Quantisation(method, words, bits, settings)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False


def _bits(method: str, settings: Mapping[str, Any]) -> tuple[int, str]:
    """Bits of a weight and what to call them."""
    if "fp8" in method:
        return 8, "float8"
    if method in ("mxfp4", "nvfp4"):
        return 4, method.upper()
    if method == "bitsandbytes":
        bits = 4 if settings.get("load_in_4bit") else 8
        return bits, f"{bits}-bit" + (f" ({settings.get('bnb_4bit_quant_type', 'fp4')})" if bits == 4 else "")
    if method == "compressed-tensors":
        groups = settings.get("config_groups") or {}
        of_weights = [group.get("weights") for group in groups.values() if isinstance(group, dict)]
        first: dict[str, Any] = next((weights for weights in of_weights if weights), {})
        bits = int(first.get("num_bits", 8))
        return bits, f"float{bits}" if first.get("type") == "float" else f"{bits}-bit"
    if method == "torchao":
        kind = re.search(r"(Float|U?Int)(\d)", str(settings.get("quant_type", "")), re.IGNORECASE)
        bits = int(kind[2]) if kind else 8
        return bits, f"float{bits}" if kind and kind[1].lower() == "float" else f"{bits}-bit"
    said = settings.get("bits") or settings.get("w_bit") or settings.get("nbits")
    return (said, f"{said}-bit") if isinstance(said, int) else (8, method)


def _unify(model: Any, dtype: torch.dtype) -> None:
    """One precision for what was expanded and what was plain all along."""
    wide = kept_in_float32(model)
    for key, parameter in model.named_parameters():
        if not parameter.is_meta and not any(part in key for part in wide):
            parameter.data = parameter.data.to(dtype)
