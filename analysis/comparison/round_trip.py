"""Weights through a coarse grid and back, a layer at a time while it runs: what rounding alone does to a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from analysis.errors import AnalysisError, UnsupportedModelError
from analysis.models.body import hooks
from analysis.models.library_parts import transposed_linear

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel

Rounding = Literal["8-bit", "6-bit", "4-bit"]
ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)
BLOCK = 32
"""Weights along the input of a matrix that share a scale."""


def round_trip(weight: Tensor, bits: int) -> Tensor:
    """Weights on a symmetric grid of 2^bits - 1 values, in blocks along the last axis.

    Parameters
    ----------
    weight : Tensor, shape (..., D)
        Any float; the last block of a row may be shorter.
    bits : int
        Of the grid.

    Returns
    -------
    Tensor, shape (..., D)
        ``s round(w / s)``, s the largest size in the block over ``2^(bits - 1) - 1``; halves go to the even number.

    Notes
    -----
    Symmetric, because blocks of an affine grid (a scale and an offset for each) are what 4-bit files hold already:
    rounding such weights to that grid again changes nothing. The formats of quantisers differ from this grid.
    """
    *rows, width = weight.shape
    padded = nn.functional.pad(weight.float(), (0, -width % BLOCK)).view(*rows, -1, BLOCK)
    steps = 2 ** (bits - 1) - 1
    scale = padded.abs().amax(-1, keepdim=True) / steps
    on_grid = torch.round(padded / torch.where(scale > 0, scale, torch.ones_like(scale))) * scale
    return on_grid.view(*rows, -1)[..., :width].to(weight.dtype)


def bits_of(rounding: Rounding) -> int:
    """Bits of a grid by its name.

    Raises
    ------
    AnalysisError
        If there is none of that name.
    """
    if rounding not in ROUNDINGS:
        raise AnalysisError(f"There is no grid {rounding!r}.", f"Choose from {', '.join(ROUNDINGS)}.")
    return int(rounding.partition("-")[0])


@contextmanager
def rounded_weights(model: LanguageModel, rounding: Rounding) -> Iterator[None]:
    """Let a model compute with rounded weights while the context is open; it is held.

    Parameters
    ----------
    model : LanguageModel
        With plain weights on one device. Its own weights are put back after every layer, to the bit.
    rounding : {"8-bit", "6-bit", "4-bit"}
        Grid of the matrices of all layers. Embedding, vocabulary head, norms and biases stay as they are.

    Raises
    ------
    AnalysisError
        If there is no such grid, or if it changes nothing.
    UnsupportedModelError
        If the weights are not plain numbers, or spread over devices.

    Notes
    -----
    One layer's rounded weights exist at a time, so this takes no second model's memory.
    """
    bits = bits_of(rounding)
    _require_plain(model)
    _require_change(model, rounding)
    with model.lock, hooks() as handles:
        swaps = [_Swap(layer, bits) for layer in model.anatomy.layers]
        try:
            for layer, swap in zip(model.anatomy.layers, swaps, strict=True):
                handles.append(layer.register_forward_pre_hook(swap.begin))
                handles.append(layer.register_forward_hook(swap.end))
            yield
        finally:
            for swap in swaps:
                swap.end()


def _require_change(model: LanguageModel, rounding: Rounding) -> None:
    """Refuse a grid on which the weights of the first layer are already."""
    bits = bits_of(rounding)
    if all(
        torch.equal(_rounded(owner, weight, bits), weight)
        for owner, weight in _matrices(model.anatomy.layers[0])
    ):
        raise AnalysisError(
            f"The weights of {model.info.name} are on the {rounding} grid already: nothing would change.",
            "Choose a grid of fewer bits.",
        )


@dataclass(eq=False)
class _Swap:
    """The weights of one layer, rounded while it runs."""

    layer: nn.Module
    bits: int
    own: list[tuple[nn.Parameter, Tensor]] = field(default_factory=list)

    def begin(self, *_args: Any) -> None:
        if self.own:  # a layer that is called within itself
            return
        with torch.inference_mode(False), torch.no_grad():
            for owner, weight in _matrices(self.layer):
                self.own.append((weight, weight.data))
                weight.data = _rounded(owner, weight, self.bits)

    def end(self, *_args: Any) -> None:
        with torch.inference_mode(False), torch.no_grad():
            while self.own:
                weight, before = self.own.pop()
                weight.data = before


def _matrices(layer: nn.Module) -> list[tuple[nn.Module, nn.Parameter]]:
    """The parameters of a layer that are matrices, or stacks of them, with the module that holds each."""
    return [
        (module, weight)
        for module in layer.modules()
        for weight in module.parameters(recurse=False)
        if weight.dim() >= 2
    ]


def _rounded(owner: nn.Module, weight: Tensor, bits: int) -> Tensor:
    if isinstance(owner, transposed_linear()):
        return round_trip(weight.T, bits).T.contiguous()
    return round_trip(weight, bits)


def _require_plain(model: LanguageModel) -> None:
    spread = any(weight.is_meta for weight in model.anatomy.layers.parameters())
    if spread or getattr(model.model, "hf_device_map", None):
        raise UnsupportedModelError(
            f"The weights of {model.info.name} are spread over devices, so they cannot be rounded on the way.",
            "Choose one device by name, or a smaller model.",
        )
    if not all(weight.is_floating_point() for _, weight in _all_matrices(model)):
        raise UnsupportedModelError(
            f"The weights of {model.info.name} are stored as {model.info.weights or 'whole numbers'} and not as plain "
            "numbers.",
            "Choose a checkpoint with plain weights.",
        )


def _all_matrices(model: LanguageModel) -> list[tuple[nn.Module, nn.Parameter]]:
    return [pair for layer in model.anatomy.layers for pair in _matrices(layer)]
