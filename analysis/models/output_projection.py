"""The layer through which an attention module writes into the residual stream."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from analysis.models.library_parts import transposed_linear

_NAMES = ("o_proj", "out_proj", "c_proj", "dense", "Wo")
"""What transformers calls it: sizes alone do not tell it from the projection of the queries."""


def output_projection(attention: nn.Module, width: int) -> tuple[nn.Module, Tensor] | None:
    """Find the output projection W_O of an attention module.

    Parameters
    ----------
    attention : nn.Module
        As the library hands it to its attention function.
    width : int
        Numbers that the heads give for a token, H dv.

    Returns
    -------
    nn.Module
        A plain linear layer.
    Tensor, shape (D, H dv)
        Its weight; columns ``h dv`` to ``(h + 1) dv - 1`` belong to head h.
        None instead of both where there is none, or where its weight is no matrix of plain numbers.
    """
    transposed = transposed_linear()
    parts = dict(attention.named_children())
    for module in (parts[name] for name in _NAMES if name in parts):
        weight = getattr(module, "weight", None)
        if isinstance(module, (nn.Linear, transposed)) and weight is not None and weight.is_floating_point():
            outward = weight.T if isinstance(module, transposed) else weight
            if outward.dim() == 2 and outward.shape[1] == width:
                return module, outward
    return None


def projected(weight: Tensor, value: Tensor, n_heads: int) -> Iterator[Tensor]:
    """What every query head would write for each token alone: ``W_O^h v``.

    Parameters
    ----------
    weight : Tensor, shape (D, H dv)
        As :func:`output_projection` gives it.
    value : Tensor, shape (G, T, dv)
        Head h uses KV head ``h // (H / G)``.
    n_heads : int
        Query heads H.

    Yields
    ------
    Tensor, shape (T, D), float32
        Head by head.
    """
    per_group = n_heads // value.shape[0]
    for head, part in enumerate(weight.float().unflatten(1, (n_heads, -1)).unbind(1)):
        yield value[head // per_group].float() @ part.T
