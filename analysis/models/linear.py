"""Matrix products of float32 on the CPU by the faster of torch's two libraries.

torch multiplies them with MKL; oneDNN, which it also carries, is a tenth to a half faster here, most of all
for the vocabulary head. Sums come in another order, so results differ by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_BUILT = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


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
    if _BUILT and not torch.is_grad_enabled() and _suits(weight) and _suits(states):
        result: Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")
        return result
    return nn.functional.linear(states, weight, bias)


def _suits(values: Tensor) -> bool:
    return values.dtype == torch.float32 and values.device.type == "cpu" and values.numel() > 0


@contextmanager
def fast_linears(model: nn.Module) -> Iterator[None]:
    """Let a model's linear layers multiply through :func:`linear` while the context is open."""
    changed: list[tuple[nn.Module, str, Any]] = []
    try:
        for module in model.modules():
            own = vars(module)
            # Where accelerate brings weights in for each use, it keeps what it calls then under its own name.
            name = "_old_forward" if "_hf_hook" in own else "forward"
            if type(module) is nn.Linear and (name == "_old_forward" or name not in own):
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
