"""One layer's queries and keys, caught in a pass that stops behind them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from analysis.attention_sinks.again import reading_again, silent
from analysis.forward.attention import attend
from analysis.forward.interface import own_attention
from analysis.forward.masks import Visibility
from analysis.forward.results import Trace
from analysis.forward.run import Progress
from analysis.models.anatomy import run_body
from analysis.models.loading import LanguageModel

_NAME = "logitscope_caught"


@dataclass(frozen=True, eq=False)
class CaughtLayer:
    """What one layer's scores are made of. Any head and block of it needs no further pass."""

    layer: int
    query: Tensor
    """(H, T, d), with positions."""
    key: Tensor
    """(G, T, d), with positions."""
    scale: float
    softcap: float | None
    window: int | None
    sink_logits: Tensor | None
    """(H,)."""
    visibility: Visibility | None


class _Done(Exception):  # noqa: N818 - not an error: the pass has given what it was run for
    """Stops the pass behind the layer that was wanted."""


@dataclass(eq=False)
class _Catcher:
    layer: int
    n_layers: int
    visibility: Visibility | None
    report: Progress
    at: int = 0
    caught: CaughtLayer | None = None


_CATCHER: ContextVar[_Catcher] = ContextVar("catcher")


def _catching_attention(
    module: nn.Module,  # noqa: ARG001 - transformers' interface
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    s_aux: Tensor | None = None,
    **_others: Any,
) -> tuple[Tensor, None]:
    """The attention interface of transformers, (1, heads, T, d) in, (1, T, heads, d) out."""
    catcher = _CATCHER.get()
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    catcher.report(catcher.at / (catcher.layer + 1), f"layer {catcher.at}/{catcher.n_layers}")
    if catcher.at == catcher.layer:
        catcher.caught = CaughtLayer(
            catcher.layer, query[0], key[0], scale, softcap, sliding_window, s_aux, catcher.visibility
        )
        raise _Done
    attended = attend(
        query[0], key[0], value[0], scale=scale, softcap=softcap, window=sliding_window, sink_logits=s_aux,
        visibility=catcher.visibility, layer=catcher.at,
    )  # fmt: skip
    catcher.at += 1
    return attended.output.transpose(0, 1)[None].contiguous(), None


@contextmanager
def _catching(model: Any, catcher: _Catcher) -> Iterator[None]:
    """Let a model's attention be caught; the pass ends where the catcher has its layer."""
    token = _CATCHER.set(catcher)
    try:
        with suppress(_Done), own_attention(model, _NAME, _catching_attention):
            yield
    finally:
        _CATCHER.reset(token)


def catch_layer(
    model: LanguageModel,
    trace: Trace,
    layer: int,
    *,
    visibility: Visibility | None = None,
    on_progress: Progress | None = None,
) -> CaughtLayer:
    """Read the run's tokens up to one layer's attention and keep its queries and keys.

    Parameters
    ----------
    model : LanguageModel
        The one that made the run.
    trace : Trace
        A run that measured attention.
    layer : int
        0 to L - 1.
    visibility : Visibility, optional
        What the run hid; required when it hid something.
    on_progress : callable, optional
        ``on_progress(share, what)``, once per layer. Raising from it stops the pass.

    Returns
    -------
    CaughtLayer
        On the model's device, (H + G) T d numbers.

    Raises
    ------
    AnalysisError
        As :func:`analysis.attention_sinks.again.reading_again`.
    ValueError
        If the layer does not exist.
    """
    if not 0 <= layer < model.info.n_layers:
        raise ValueError(f"layers go from 0 to {model.info.n_layers - 1}, got {layer}")
    catcher = _Catcher(layer, model.info.n_layers, visibility, on_progress or silent)
    with reading_again(model, trace, visibility) as ids, _catching(model.model, catcher):
        run_body(model.model, ids[None].to(model.anatomy.head.weight.device))
    assert catcher.caught is not None
    return catcher.caught
