"""What the weight files of a folder hold, read from their headers alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path

ADAPTER_WEIGHTS = "adapter_model.safetensors"
_ONE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4}
_BITS |= {f"{sign}{bits}": bits for sign in "IU" for bits in (8, 16, 32, 64)} | {"BOOL": 8}
PLAIN = frozenset({"F64", "F32", "F16", "BF16"})
"""Stored precisions that are weights as they are."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a weight file."""

    dtype: str
    """As safetensors writes it: F32, BF16, F8_E4M3, I32 and so on."""
    shape: tuple[int, ...]

    @property
    def n_values(self) -> int:
        """How many values it has."""
        return prod(self.shape)


def bytes_of(tensors: Iterable[StoredTensor], itemsize: int, few_bits: int | None) -> int:
    """Bytes that stored tensors take in memory.

    Parameters
    ----------
    tensors : iterable of StoredTensor
        Of the weight files.
    itemsize : int
        Bytes of one value in the precision that is computed in.
    few_bits : int, optional
        Bits of one quantised weight, where such weights are expanded to that precision.
    """
    total = 0.0
    for tensor in tensors:
        bits = _BITS.get(tensor.dtype, 32)
        if tensor.dtype in PLAIN:
            total += tensor.n_values * itemsize
        else:  # several weights may lie in one stored value
            total += tensor.n_values * bits / 8 * (8 * itemsize / few_bits if few_bits else 1)
    return int(total)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that ``from_pretrained`` would open, adapters left out."""
    if (folder / _ONE).is_file():
        return [folder / _ONE]
    try:
        named = set(json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"].values())
        return sorted(folder / name for name in named)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return sorted(path for path in folder.glob("*.safetensors") if path.name != ADAPTER_WEIGHTS)


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """All tensors of a model folder by name.

    Raises
    ------
    safetensors.SafetensorError, OSError
        If a file is damaged or missing.
    """
    return {name: tensor for path in weight_files(folder) for name, tensor in tensors_of(path).items()}


def tensors_of(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one safetensors file by name."""
    from safetensors import safe_open

    found = {}
    with safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            part = file.get_slice(name)
            found[name] = StoredTensor(str(part.get_dtype()), tuple(part.get_shape()))
    return found
