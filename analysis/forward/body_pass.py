"""One pass of the model body, and what its hooks take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.forward.attention_adapter import attending
from analysis.forward.attention_support import known_support
from analysis.forward.eager_maps import eager_maps, span_of_map
from analysis.forward.fetch import fetch
from analysis.forward.layer_spectra import Spectra
from analysis.forward.recorder import Recorder
from analysis.models.body import first_tensor, hooks, run_body
from analysis.models.loading import LanguageModel
from analysis.models.memory import give_back_freed_memory

LARGE_BYTES = 16 << 20
"""States of one layer from which on freed memory goes back to the system after each of its parts."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What the hooks of one pass took."""

    final_states: Tensor
    """(n, D): after the final norm, what the head gets."""
    lens_states: list[Tensor]
    """(n, D) each: states of the lens layers, before the final norm."""
    residual_norm: np.ndarray
    """float32, (L + 1, n)."""


def run_pass(
    model: LanguageModel,
    ids: Tensor,
    lens_layers: list[int],
    on_layer: Callable[[int], None],
    recorder: Recorder | None = None,
    spectra: Spectra | None = None,
) -> Measured:
    """Run the body once over one window.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    ids : Tensor, shape (n,), int64
        Tokens of the window.
    lens_layers : list of int
        Layers whose states are kept, 0 to L.
    on_layer : callable
        Called with the number of finished layers, 0 to L. Raising from it stops the pass.
    recorder : Recorder, optional
        Takes what the attention of every layer measures; without it the model's own
        attention runs.
    spectra : Spectra, optional
        Takes the states between the layers.
    """
    anatomy = model.anatomy
    n_layers = len(anatomy.layers)
    device = anatomy.head.weight.device
    norms = torch.zeros(n_layers + 1, len(ids), device=device)
    kept: dict[int, Tensor] = {}

    def take(layer: int, states: Tensor) -> None:
        norms[layer] = torch.linalg.vector_norm(states[0], dim=-1, dtype=torch.float32)
        if layer in lens_layers:
            kept[layer] = states[0].clone()
        if spectra is not None:
            spectra.take("states", layer, states[0])
        on_layer(layer)

    def enter(_module: nn.Module, args: Any, kwargs: Any) -> None:
        take(0, args[0] if args else kwargs["hidden_states"])

    def leave(layer: int) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _args, output: take(layer, first_tensor(output))

    with hooks() as handles:
        handles.append(anatomy.layers[0].register_forward_pre_hook(enter, with_kwargs=True))
        for i, layer in enumerate(anatomy.layers):
            handles.append(layer.register_forward_hook(leave(i + 1)))
        caught = anatomy.watch_final(handles)
        if device.type == "cpu" and len(ids) * model.info.hidden_size * norms.element_size() >= LARGE_BYTES:
            for part in (part for layer in anatomy.layers for part in (*layer.children(), layer)):
                handles.append(part.register_forward_hook(lambda *_: give_back_freed_memory()))
        with measuring(model, recorder) if recorder else nullcontext():
            run_body(model.model, ids[None].to(device))
    norm = fetch({"norm": norms})["norm"]
    return Measured(caught["final"][0], [kept[layer] for layer in lens_layers], norm)


@contextmanager
def measuring(model: LanguageModel, recorder: Recorder) -> Iterator[None]:
    """Let a model's attention measure itself, gates of its own included, or reduce the maps it hands over."""
    support = known_support(model)
    if support is not None and support.by_maps:

        def take_map(layer: int, weights: Tensor) -> None:
            recorder.take_map(layer, weights, span_of_map(model, weights))

        with eager_maps(model, take_map):
            yield
        return
    gates = support.gates if support is not None else ()
    recorder.gated = frozenset(layer for layer, _ in gates)
    with hooks() as handles, attending(model.model, model.anatomy, recorder):
        for layer, name in gates:

            def take(_module: nn.Module, args: Any, at: int = layer) -> None:
                recorder.take_gate(at, args[0][0])

            handles.append(model.model.get_submodule(name).register_forward_pre_hook(take))
        yield
