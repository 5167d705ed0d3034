"""Massive activations of the residual stream, and how little of a sink's value leaves its head.

On demand, in one extra pass over a run's tokens: each layer is reduced as it goes by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.attention_sinks.massive import Extremes
from analysis.forward.attention_adapter import AttentionCall, attend_call, attending
from analysis.forward.rerun import rerun
from analysis.forward.visibility import Visibility
from analysis.models.body import first_tensor, hooks, run_body
from analysis.models.loading import LanguageModel
from analysis.models.output_projection import output_projection, projected
from analysis.progress import Progress, silent
from analysis.results.trace import Trace
from analysis.ties import ranked

TOP = 3
"""Largest activations kept per layer."""


def largest_activations(states: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
    """The :data:`TOP` largest activations of one layer.

    Parameters
    ----------
    states : Tensor, shape (T, D)
        Residual stream.

    Returns
    -------
    token, dimension, value : Tensor, shape (n,)
        Largest size first, of equal ones the earlier token; values keep their sign.
    median : float
        Median size, the lower of the two in the middle.
    """
    flat = states.float().flatten()
    sizes = flat.abs()
    _, at = ranked(sizes, min(TOP, len(flat)))
    return at // states.shape[1], at % states.shape[1], flat[at], float(sizes.median())


def projected_norms(weight: Tensor, value: Tensor, n_heads: int) -> Tensor:
    """Norm of ``W_O^h v`` for every query head and token.

    Parameters
    ----------
    weight : Tensor, shape (D, H dv)
        Output projection; columns ``h dv`` to ``(h + 1) dv - 1`` belong to head h.
    value : Tensor, shape (G, T, dv)
        Head h uses KV head ``h // (H / G)``.
    n_heads : int
        Query heads H.

    Returns
    -------
    Tensor, shape (H, T), float32
    """
    return torch.stack([torch.linalg.vector_norm(own, dim=-1) for own in projected(weight, value, n_heads)])


@dataclass(eq=False)
class _Watcher:
    """Holds each layer's attention output until the projection that it goes into comes by."""

    visibility: Visibility | None
    handles: list[Any]
    norms: dict[int, np.ndarray] = field(default_factory=dict)
    """By layer, (H, T): of what the projection makes of the values."""

    def __call__(self, call: AttentionCall) -> Tensor:
        """Attend as the run did."""
        output = attend_call(call, self.visibility).output
        mixed = output.transpose(0, 1).flatten(1)
        if (found := output_projection(call.module, mixed.shape[1])) is not None:
            module, weight = found

            def project(_module: nn.Module, args: Any) -> None:
                handle.remove()
                if (
                    args
                    and args[0].numel() == mixed.numel()
                    and torch.equal(args[0].reshape(mixed.shape), mixed)
                ):
                    norms = projected_norms(weight, call.value[0], len(output))
                    self.norms[call.layer] = norms.cpu().numpy()

            handle = module.register_forward_pre_hook(project)
            self.handles.append(handle)
        return output[None]


def extreme_tokens(
    model: LanguageModel,
    trace: Trace,
    *,
    visibility: Visibility | None = None,
    on_progress: Progress | None = None,
) -> Extremes:
    """Massive activations and projected value norms of a run, in one more pass.

    Parameters
    ----------
    model : LanguageModel
        The one that made the run.
    trace : Trace
        A run that measured attention.
    visibility : Visibility, optional
        What the run hid; required when it hid something.
    on_progress : callable, optional
        ``on_progress(share, what)``, once per layer. Raising from it stops the pass.

    Returns
    -------
    Extremes

    Raises
    ------
    AnalysisError
        If the run is not this model's or measured no attention.

    Notes
    -----
    Where something changes the attention output before it comes to the output projection, or none is found,
    ``value_out_norm`` is None and ``unavailable`` says so.
    """
    report, n_layers = on_progress or silent, model.info.n_layers
    found: list[tuple[Tensor, Tensor, Tensor, float]] = []

    def enter(_module: nn.Module, args: Any, kwargs: Any) -> None:
        found.append(largest_activations((args[0] if args else kwargs["hidden_states"])[0]))

    def leave(_module: nn.Module, _args: Any, output: Any) -> None:
        found.append(largest_activations(first_tensor(output)[0]))
        layer = len(found) - 1
        report(layer / n_layers, f"layer {layer}/{n_layers}")

    layers = model.anatomy.layers
    with rerun(model, trace, visibility) as ids, hooks() as handles:
        handles.append(layers[0].register_forward_pre_hook(enter, with_kwargs=True))
        for layer in layers:
            handles.append(layer.register_forward_hook(leave))
        watcher = _Watcher(visibility, handles)
        with attending(model.model, model.anatomy, watcher):
            run_body(model.model, ids[None].to(model.anatomy.head.weight.device))
    assert trace.attention is not None
    expected = trace.attention.layer_numbers.tolist()
    missing = sorted(set(expected) - set(watcher.norms))
    complete = not missing
    return Extremes(
        token=np.stack([f[0].cpu().numpy() for f in found]),
        dimension=np.stack([f[1].cpu().numpy() for f in found]),
        value=np.stack([f[2].cpu().numpy() for f in found]),
        median=np.array([f[3] for f in found], np.float32),
        value_out_norm=np.stack([watcher.norms[i] for i in expected]) if complete else None,
        unavailable=""
        if complete
        else f"No output projection takes the attention output as it is in layer {missing[0]}"
        + (f" and {len(missing) - 1} more." if len(missing) > 1 else "."),
    )
