"""Attention of models that do not attend through transformers' interface: their own maps, one layer at a time.

BLOOM, MPT, Falcon, GPT-J, GPT-Neo, CodeGen and the like hand their weights on when they attend eagerly. A map is
reduced as its layer leaves and is gone, but it exists whole: memory grows with T x T. Queries, keys and values are
not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from analysis.errors import UnsupportedModelError
from analysis.forward.row_sums import Attended
from analysis.forward.visibility import CAUSAL, AttentionSpan
from analysis.models.attention_choice import attention_choice
from analysis.models.body import hooks

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel

_ROWS = 256
TakeMap = Callable[[int, Tensor], None]
"""Called with a layer's number and its weights, (H, T, T)."""


@contextmanager
def eager_maps(model: LanguageModel, take: TakeMap) -> Iterator[None]:
    """Let a model attend eagerly and hand over every layer's map; its own implementation comes back afterwards.

    Raises
    ------
    UnsupportedModelError
        While the model runs, if a layer hands over two maps.
    """
    done: set[int] = set()

    def leaves(layer: int) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, _args: Any, output: Any) -> Any:
            if not isinstance(output, tuple):
                return output
            maps = [i for i, part in enumerate(output) if _is_map(part)]
            if not maps:
                return output
            if layer in done or len(maps) > 1:
                raise UnsupportedModelError(
                    f"{type(module).__name__} attends twice in layer {layer}.",
                    "Its attention cannot be measured.",
                )
            done.add(layer)
            take(layer, output[maps[0]][0])
            return tuple(None if i in maps else part for i, part in enumerate(output))

        return hook

    with hooks() as handles, attention_choice(model.model, "eager"):
        for i, layer in enumerate(model.anatomy.layers):
            for module in layer.modules():
                if "attention" in type(module).__name__.lower():
                    handles.append(module.register_forward_hook(leaves(i)))
        yield


def _is_map(part: Any) -> bool:
    return torch.is_tensor(part) and part.dim() == 4 and part.shape[0] == 1 and part.shape[2] == part.shape[3]


def reduce_map(weights: Tensor) -> Attended:
    """Statistics of one layer's map.

    Parameters
    ----------
    weights : Tensor, shape (H, T, T)
        Row i is how query i attends.

    Returns
    -------
    Attended
        Without an output. ``row_error`` is the largest distance of a row's sum from 1, or of what a query
        gives to later keys from 0.
    """
    n_heads, n, _ = weights.shape
    device = weights.device
    out = Attended(
        output=torch.empty(n_heads, n, 0, device=device),
        entropy=torch.empty(n_heads, n, device=device),
        columns=torch.zeros(n_heads, 1, n, dtype=torch.float64, device=device),
        first_key=weights[:, :, 0].float(),
        mass=torch.ones(n_heads, n, device=device),
        row_error=torch.zeros((), dtype=torch.float64, device=device),
    )
    for begin in range(0, n, _ROWS):
        rows = weights[:, begin : begin + _ROWS].float()
        out.entropy[:, begin : begin + _ROWS] = torch.special.entr(rows).sum(-1)
        out.columns[:, 0] += rows.sum(1, dtype=torch.float64)
        later = rows.triu(begin + 1).abs().sum(-1).max()
        wrong = (rows.sum(-1, dtype=torch.float64) - 1).abs().max()
        torch.maximum(out.row_error, torch.maximum(later, wrong), out=out.row_error)
    return out


def span_of_map(model: LanguageModel, weights: Tensor) -> AttentionSpan:
    """Window of a layer: the one its config names, if no query of the map looks beyond it."""
    config = model.model.config.get_text_config()
    window = getattr(config, "window_size", None) or getattr(config, "sliding_window", None)
    n = weights.shape[-1]
    if not isinstance(window, int) or not 0 < window < n:
        return CAUSAL
    beyond = any(bool(weights[:, i, : i - window + 1].any()) for i in range(window, n, max(1, n // 64)))
    return CAUSAL if beyond else AttentionSpan(window=window)
