"""Matrix products in float32 of what may be 16-bit: logits are not rounded to the precision of a model."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from analysis.models.linear import linear

_PART_BYTES = 64 << 20
"""Size of a float32 copy of a part of 16-bit weights."""
_HALF = (torch.bfloat16, torch.float16)
_ROUNDINGS = 64 * 2.0**-23
"""How far the two products of a small example may differ, as a share of the largest value."""


def wide_product(states: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """``x W^T`` in float32.

    Parameters
    ----------
    states : Tensor, shape (N, D)
        Rows x.
    weight : Tensor, shape (V, D)
        W, whose device computes.
    out : Tensor, shape (N, V), float32, optional
        Where to write it; a new tensor by default.

    Notes
    -----
    Products of 16-bit numbers are exact in float32. Where a device sums them there and hands the sums over, nothing is
    converted; elsewhere the weights become float32, a part of them at a time.
    """
    if states.dtype == weight.dtype and weight.is_cuda and weight.dtype in _HALF:
        states = states.to(weight.device)
        if _sums_are_wide(weight.device, weight.dtype):
            return _summed_wide(states, weight, out)
    states = states.to(weight.device, torch.float32)
    if weight.dtype == torch.float32:
        product = linear(states, weight)
        return product if out is None else out.copy_(product)
    out = states.new_empty(len(states), len(weight)) if out is None else out
    step = max(1, _PART_BYTES // (4 * weight.shape[1]))
    for begin in range(0, len(weight), step):
        out[:, begin : begin + step] = states @ weight[begin : begin + step].float().T
    return out


def _summed_wide(states: Tensor, weight: Tensor, out: Tensor | None) -> Tensor:
    out = torch.empty(len(states), len(weight), device=weight.device) if out is None else out
    return torch.mm(states, weight.T, out_dtype=torch.float32, out=out)


@cache
def _sums_are_wide(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this version of torch has such products for a device, and they are right; tried once."""
    generator = torch.Generator(device).manual_seed(0)
    states, weight = (torch.randn(n, 4096, generator=generator, device=device).to(dtype) for n in (24, 40))
    try:
        found = _summed_wide(states, weight, None).double()
    except (TypeError, RuntimeError):  # it takes other arguments, or has none for this device
        return False
    exact = states.double() @ weight.double().T
    return bool((found - exact).abs().max() <= _ROUNDINGS * exact.abs().max())
