"""Which way attention is measured: in blocks everywhere, by kernels of our own where they give what blocks give."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from analysis.forward.attention import attend
from analysis.forward.row_sums import Attended

_HALF = (torch.bfloat16, torch.float16)
_TRIED = 160
"""Tokens on which kernels are tried: more than one block of rows and of keys."""
_ALLOWED = 1e-4
"""Largest difference from blocks on them, in nats of an entropy, weights and column sums: hundreds of roundings."""


def kernels_for(query: Tensor, key: Tensor, value: Tensor) -> Callable[..., Attended] | None:
    """The kernels, where they measure such queries, keys and values: 16 bits, on CUDA.

    Parameters
    ----------
    query, key, value : Tensor
        Of one layer, as :func:`analysis.forward.attention.attend` takes them.

    Returns
    -------
    callable or None
        :func:`analysis.forward.attention_kernel.attend_fused`, on the device of the queries.
    """
    alike = query.dtype == key.dtype == value.dtype
    if not (query.is_cuda and alike and query.dtype in _HALF):
        return None
    return _kernels(query.device, query.dtype, query.shape[-1], value.shape[-1])


def _on_its_device(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Attended:
    """Triton starts kernels on the device that is current, which another part of a spread model may be on."""
    from analysis.forward.attention_kernel import attend_fused

    with torch.cuda.device(query.device):
        return attend_fused(query, key, value, **options)


@cache
def _kernels(
    device: torch.device, dtype: torch.dtype, width: int, value_width: int
) -> Callable[..., Attended] | None:
    """The kernels, if this machine can build them and they give here what blocks give; tried once."""
    try:
        generator = torch.Generator(device).manual_seed(0)
        query, key = torch.randn(2, 1, _TRIED, width, generator=generator, device=device).to(dtype)
        value = torch.randn(1, _TRIED, value_width, generator=generator, device=device).to(dtype)
        return _on_its_device if agree(_on_its_device, query, key, value) else None
    except Exception:  # noqa: BLE001 - no Triton, no compiler for it, a device it does not know: blocks do it too
        return None


def agree(fused: Callable[..., Attended], query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether a way to measure attention gives what blocks give: every statistic, and the output as far as it is rounded."""
    theirs = fused(query, key, value, scale=query.shape[-1] ** -0.5)
    ours = attend(query.float(), key.float(), value.float(), scale=query.shape[-1] ** -0.5)
    pairs = (
        (theirs.entropy, ours.entropy, _ALLOWED),
        (theirs.first_key, ours.first_key, _ALLOWED),
        (theirs.columns, ours.columns, _ALLOWED * float(ours.columns.max())),
        (theirs.output, ours.output, 2 * torch.finfo(query.dtype).eps * float(value.abs().max())),
    )
    return all(float((a.double() - b.double()).abs().max()) <= allowed for a, b, allowed in pairs)
