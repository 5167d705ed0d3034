"""GPTQ and AWQ weights unpacked here, so that they need neither a package nor a GPU.

Both keep integers q of few bits with a scale s and a zero point z for every group of inputs, and mean
``W[out, in] = s (q - z)``. They differ in how the integers lie in 32-bit words.

Source: GPTQ (Frantar et al. 2022) and AWQ (Lin et al. 2023) checkpoints as AutoGPTQ, GPTQModel and
AutoAWQ write them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from analysis.errors import BrokenFileError
from analysis.models.stored import weight_files

_AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""Place within a word of each of eight neighbouring outputs."""
_FORMATS = {"gptq": {"gptq", "gptq_v2"}, "awq": {"gemm"}}
_PARTS = ("qweight", "qzeros", "scales", "g_idx")


def is_unpacked_here(method: str, settings: Mapping[str, Any]) -> bool:
    """Whether a checkpoint is in a layout that is known here.

    Parameters
    ----------
    method : str
        As transformers calls it.
    settings : mapping
        The ``quantization_config``.
    """
    layout = settings.get("checkpoint_format") or settings.get("version") or settings.get("format")
    layout = str(layout or ("gptq" if method == "gptq" else "gemm")).lower()
    bits = settings.get("bits") or settings.get("w_bit")
    return layout in _FORMATS.get(method, ()) and bits in ((2, 3, 4, 8) if method == "gptq" else (4,))


def unpacked_weights(
    folder: Path, method: str, settings: Mapping[str, Any], dtype: torch.dtype
) -> dict[str, Tensor]:
    """All weights of a checkpoint folder as plain ones, by the names of the unquantised model.

    Parameters
    ----------
    folder : pathlib.Path
        With safetensors files.
    method : str
        "gptq" or "awq".
    settings : mapping
        The ``quantization_config``.
    dtype : torch.dtype
        Precision of what was packed; the product itself is taken in float32.

    Raises
    ------
    BrokenFileError
        Naming what a layer lacks.
    """
    from safetensors import safe_open

    bits = int(settings.get("bits") or settings["w_bit"])
    one_less = method == "gptq" and str(settings.get("checkpoint_format", "gptq")).lower() == "gptq"
    found: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                module, _, part = name.rpartition(".")
                if part in _PARTS:
                    parts.setdefault(module, {})[part] = file.get_tensor(name)
                else:
                    found[name] = file.get_tensor(name)
    for module, held in parts.items():
        if lacking := {"qweight", "qzeros", "scales"} - set(held):
            raise BrokenFileError(
                f"The files of {folder.name} do not hold {module}.{min(lacking)}.",
                "The checkpoint is incomplete; download or copy it again.",
            )
        unpack = unpack_gptq if method == "gptq" else unpack_awq
        options: dict[str, Any] = {"bits": bits} | ({"one_less": one_less} if method == "gptq" else {})
        found[f"{module}.weight"] = unpack(held, **options).to(dtype)
    return found


def unpack_gptq(held: Mapping[str, Tensor], *, bits: int, one_less: bool) -> Tensor:
    """Weight of one GPTQ layer.

    Parameters
    ----------
    held : mapping of str to Tensor
        ``qweight`` (in * bits / 32, out), ``qzeros`` (groups, out * bits / 32), ``scales`` (groups, out) and, where
        inputs were quantised in another order, ``g_idx`` (in,), the group of each.
    bits : int
        Of one integer; they lie one after the other, also across words.
    one_less : bool
        Whether zero points are stored less one, as the first version of the format does.

    Returns
    -------
    Tensor, shape (out, in), float32
    """
    scales = held["scales"].float()
    groups, n_out = scales.shape
    values = _bit_stream(held["qweight"].T, bits)
    zeros = _bit_stream(held["qzeros"], bits)[:, :n_out]
    if one_less:
        zeros = zeros + 1 & 2**bits - 1
    n_in = len(held["g_idx"]) if "g_idx" in held else values.shape[1]
    values = values[:, :n_in]
    group = held["g_idx"].long() if "g_idx" in held else torch.arange(n_in) // (n_in // groups)
    return scales[group].T * (values - zeros[group].T)


def unpack_awq(held: Mapping[str, Tensor], *, bits: int) -> Tensor:
    """Weight of one AWQ layer.

    Parameters
    ----------
    held : mapping of str to Tensor
        ``qweight`` (in, out * bits / 32), ``qzeros`` (groups, out * bits / 32), ``scales`` (groups, out).
    bits : int
        Of one integer; the eight of a word are interleaved.

    Returns
    -------
    Tensor, shape (out, in), float32
    """
    scales = held["scales"].float()
    order = torch.tensor(_AWQ_ORDER)
    values, zeros = (
        _bit_stream(held[part], bits).unflatten(-1, (-1, len(order)))[..., order].flatten(-2)
        for part in ("qweight", "qzeros")
    )
    group = torch.arange(len(values)) // (len(values) // len(scales))
    return (scales[group] * (values - zeros[group])).T


def _bit_stream(words: Tensor, bits: int) -> Tensor:
    """Integers that lie one after the other in 32-bit words, the lowest bits first, (n, w) to (n, 32 w / bits)."""
    wide = words.long() & 0xFFFFFFFF
    starts = torch.arange(words.shape[-1] * 32 // bits) * bits
    word, shift = starts // 32, starts % 32
    after = torch.nn.functional.pad(wide, (0, 1))[:, word + 1]
    return ((wide[:, word] | after << 32) >> shift) & 2**bits - 1
