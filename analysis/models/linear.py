"""Matrix products of float32 on the CPU by the faster of torch's two libraries.

torch multiplies them with MKL; oneDNN, which it also carries, is a tenth to a half faster here, most of all
for the vocabulary head. Sums come in another order, so results differ by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from analysis.models.library_parts import forward_name, is_brought_in

_ROUNDINGS = 64 * 2.0**-23
"""How far the two products of a small example may differ, as a share of the largest value."""


def linear(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x W^T + b``, by oneDNN where it serves: float32, on the CPU, without gradients.

    Parameters
    ----------
    states : Tensor, shape (..., D)
        Rows x.
    weight : Tensor, shape (V, D)
        W.
    bias : Tensor, shape (V,), optional
        b.
    """
    if not torch.is_grad_enabled() and _suits(weight) and _suits(states) and onednn_serves():
        return _onednn(states, weight, bias)
    return nn.functional.linear(states, weight, bias)


def _onednn(states: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The operator, which torch has for its own compiler and does not promise to keep."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")
    return result


@cache
def onednn_serves() -> bool:
    """Whether oneDNN is there and multiplies right; tried once, on a small example with and without a bias."""
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    states, weight, bias = (torch.randn(size, generator=generator) for size in ((3, 5, 64), (33, 64), (33,)))
    try:
        with torch.no_grad():
            for shift in (bias, None):
                plain = nn.functional.linear(states, weight, shift)
                difference = (_onednn(states, weight, shift) - plain).abs().max()
                if not difference <= _ROUNDINGS * plain.abs().max():
                    return False
    except (AttributeError, TypeError, ValueError, RuntimeError):  # gone, or it takes other arguments
        return False
    return True


def _suits(values: Tensor) -> bool:
    return values.dtype == torch.float32 and values.device.type == "cpu" and values.numel() > 0


@contextmanager
def fast_linears(model: nn.Module) -> Iterator[None]:
    """Let a model's linear layers multiply through :func:`linear` while the context is open."""
    changed: list[tuple[nn.Module, str, Any]] = []
    try:
        for module in model.modules():
            own = vars(module)
            name = forward_name(module)
            if type(module) is nn.Linear and (is_brought_in(module) or name not in own):
                changed.append((module, name, own.get(name)))
                setattr(module, name, _forward(module))
        yield
    finally:
        for module, name, before in changed:
            if before is None:
                delattr(module, name)
            else:
                setattr(module, name, before)


def _forward(module: nn.Linear) -> Callable[[Tensor], Tensor]:
    return lambda states: linear(states, module.weight, module.bias)
