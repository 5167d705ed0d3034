"""Which way attention is measured: in blocks everywhere, by kernels of our own where they give what blocks give."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from analysis.forward import attention as blocks
from analysis.forward.attention import Room
from analysis.forward.row_sums import Attended
from analysis.forward.visibility import CAUSAL, AttentionSpan, Visibility

_HALF = (torch.bfloat16, torch.float16)
_TRIED = 160
"""Tokens on which kernels are tried: more than one block of rows and of keys."""
_ALLOWED = 1e-4
"""Largest difference of an entropy (nats) between kernels and blocks on them: three hundred roundings of float32."""


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    softcap: float | None = None,
    span: AttentionSpan = CAUSAL,
    sink_logits: Tensor | None = None,
    weightings: Tensor | None = None,
    visibility: Visibility | None = None,
    layer: int = 0,
    room: Room | None = None,
) -> Attended:
    """Causal attention of one layer with its statistics; parameters as :func:`analysis.forward.attention.attend`."""
    plain = visibility is None and softcap is None and query.dtype == key.dtype == value.dtype
    suits = plain and query.is_cuda and query.dtype in _HALF
    if suits and (fused := kernels(query.device, query.dtype, query.shape[-1], value.shape[-1])):
        if weightings is None:
            weightings = torch.ones(query.shape[1], 1, device=query.device)
        return fused(
            query, key, value, scale=scale, span=span, sink_logits=sink_logits, weightings=weightings
        )
    return blocks.attend(
        query, key, value, scale=scale, softcap=softcap, span=span, sink_logits=sink_logits, weightings=weightings,
        visibility=visibility, layer=layer, room=room,
    )  # fmt: skip


@cache
def kernels(
    device: torch.device, dtype: torch.dtype, width: int, value_width: int
) -> Callable[..., Attended] | None:
    """The kernels, if this machine can build them and they give here what blocks give; tried once.

    Parameters
    ----------
    device, dtype
        Of queries, keys and values.
    width, value_width : int
        Of a head's queries and keys, and of its values.

    Returns
    -------
    callable or None
        :func:`analysis.forward.attention_kernel.attend_fused`.
    """
    try:
        from analysis.forward.attention_kernel import attend_fused

        generator = torch.Generator(device).manual_seed(0)
        query, key = torch.randn(2, 1, _TRIED, width, generator=generator, device=device).to(dtype)
        value = torch.randn(1, _TRIED, value_width, generator=generator, device=device).to(dtype)
        ones = torch.ones(_TRIED, 1, device=device)
        theirs = attend_fused(
            query, key, value, scale=width**-0.5, span=CAUSAL, sink_logits=None, weightings=ones
        )
        ours = blocks.attend(query, key, value, scale=width**-0.5, weightings=ones)
        difference = float((ours.entropy - theirs.entropy).abs().max())
    except Exception:  # noqa: BLE001 - no Triton, no compiler for it, a device it does not know: blocks do it too
        return None
    return attend_fused if difference < _ALLOWED else None
