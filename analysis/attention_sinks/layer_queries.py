"""One layer's queries and keys, caught in a pass that stops behind them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from torch import Tensor

from analysis.forward.attention_adapter import AttentionCall, attend_call, attending
from analysis.forward.rerun import rerun
from analysis.forward.visibility import AttentionSpan, Visibility
from analysis.models.body import run_body
from analysis.models.loading import LanguageModel
from analysis.progress import Progress, silent
from analysis.results.trace import Trace


@dataclass(frozen=True, eq=False)
class CaughtLayer:
    """What one layer's scores are made of. Any head and block of it needs no further pass."""

    layer: int
    """Its number in the model."""
    query: Tensor
    """(H, T, d), with positions."""
    key: Tensor
    """(G, T, d), with positions."""
    scale: float
    softcap: float | None
    span: AttentionSpan
    sink_logits: Tensor | None
    """(H,)."""
    visibility: Visibility | None


class _Done(Exception):  # noqa: N818 - not an error: the pass has given what it was run for
    """Stops the pass behind the layer that was wanted."""


@dataclass(eq=False)
class _Catcher:
    """Attends up to the layer that is wanted."""

    layer: int
    n_layers: int
    visibility: Visibility | None
    report: Progress
    caught: CaughtLayer | None = None

    def __call__(self, call: AttentionCall) -> Tensor:
        """Attend for one layer, or stop the pass at the one that is wanted."""
        self.report(call.layer / (self.layer + 1), f"layer {call.layer}/{self.n_layers}")
        query, key = call.query[0], call.key[0]
        if call.layer == self.layer:
            self.caught = CaughtLayer(
                call.layer, query, key, call.scale, call.softcap, call.span, call.sink_logits, self.visibility
            )
            raise _Done
        return attend_call(call, self.visibility).output[None]


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
        0 to L - 1, one that has attention.
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
        As :func:`analysis.forward.rerun.rerun`.
    ValueError
        If the layer does not exist or has no attention.
    """
    if not 0 <= layer < model.info.n_layers:
        raise ValueError(f"layers go from 0 to {model.info.n_layers - 1}, got {layer}")
    if trace.attention is not None:
        trace.attention.row_of(layer)
    catcher = _Catcher(layer, model.info.n_layers, visibility, on_progress or silent)
    with (
        rerun(model, trace, visibility) as ids,
        suppress(_Done),
        attending(model.model, model.anatomy, catcher),
    ):
        run_body(model.model, ids[None].to(model.anatomy.head.weight.device))
    assert catcher.caught is not None
    return catcher.caught
