"""Running the model body: windows over a long text, and the hooks of one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.errors import TooLongError
from analysis.forward.attention_adapter import attending
from analysis.forward.eager_maps import eager_maps, span_of_map
from analysis.forward.layer_spectra import Spectra
from analysis.forward.recorder import Recorder
from analysis.models.body import first_tensor, hooks, run_body
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import TokenizedText


@dataclass(frozen=True)
class Window:
    """One pass over part of a text, and which of its rows are new.

    Row i predicts token i + 1, so a window that scores tokens a..b-1 reads rows a-1..b-2.
    """

    positions: np.ndarray
    """int64: tokens of the text the model sees, in order."""
    rows: slice
    """Rows of the text whose predictions this window gives."""
    local_rows: slice
    """The same rows, counted within the window."""
    seen: slice
    """Tokens of the text whose states this window gives."""
    local_seen: slice
    """The same tokens, counted within the window."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What the hooks of one pass took."""

    final_states: Tensor
    """(n, D): after the final norm, what the head gets."""
    lens_states: list[Tensor]
    """(n, D) each: states of the lens layers, before the final norm."""
    residual_norm: np.ndarray
    """float32, (L + 1, n)."""


def plan_windows(
    model: LanguageModel, tokens: TokenizedText, window: int | None, stride: int | None
) -> list[Window]:
    """One window for a text that fits, overlapping ones when a stride is given.

    Every window after the first starts ``stride`` tokens later and scores only tokens
    that no earlier window scored, so each has at least ``window - stride`` tokens before
    it. A beginning-of-text token is put in front of every window, in the place of its
    first token.

    Raises
    ------
    TooLongError
        If the text is longer than the model's context and no stride is given, the
        stride does not fit the window, or the window is too small to predict in.
    """
    n, context = len(tokens), model.info.context_length
    size = window if window is not None else context or n
    if context is not None and size > context:
        raise TooLongError(
            f"A window of {size:,} tokens is longer than the model's context of {context:,}.",
            f"Choose a window of at most {context:,}.",
        )
    if n <= size:
        everything = slice(0, n)
        return [Window(np.arange(n), everything, everything, everything, everything)]
    lead = bool(tokens.is_special[0] and tokens.start[0] < 0)
    longest = size - 2 if lead else size - 1
    if longest < 1:
        raise TooLongError(
            f"Windows of {size:,} tokens leave nothing to predict from.",
            f"Choose windows of at least {3 if lead else 2} tokens; some hundreds are a good start.",
        )
    if stride is None:
        raise TooLongError(
            f"The text has {n:,} tokens and {model.info.name} reads at most {size:,}.",
            "Shorten it, or read it in windows: each token then sees only the part of the text before it "
            "that fits.",
        )
    if not 1 <= stride <= longest:
        raise TooLongError(
            f"A stride of {stride:,} does not fit windows of {size:,} tokens.",
            f"Choose a stride from 1 to {longest:,}; half the window is a good start.",
        )
    windows: list[Window] = []
    begin, scored = 0, 0
    while scored < n:
        end = min(begin + size, n)
        positions = np.arange(begin, end)
        if lead and begin > 0:
            positions[0] = 0
        last = end == n
        first_row = max(scored - 1, 0)
        rows = slice(first_row, end if last else end - 1)
        seen = slice(scored, end)
        windows.append(Window(positions, rows, _shift(rows, begin), seen, _shift(seen, begin)))
        scored, begin = end, begin + stride
    return windows


def _shift(span: slice, by: int) -> slice:
    return slice(span.start - by, span.stop - by)


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
    norms = np.zeros((n_layers + 1, len(ids)), np.float32)
    kept: dict[int, Tensor] = {}
    caught: dict[str, Tensor] = {}

    def take(layer: int, states: Tensor) -> None:
        norms[layer] = torch.linalg.vector_norm(states[0].float(), dim=-1).cpu().numpy()
        if layer in lens_layers:
            kept[layer] = states[0].clone()
        if spectra is not None:
            spectra.take("states", layer, states[0])
        on_layer(layer)

    def enter(_module: nn.Module, args: Any, kwargs: Any) -> None:
        take(0, args[0] if args else kwargs["hidden_states"])

    def leave(layer: int) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _args, output: take(layer, first_tensor(output))

    def final(_module: nn.Module, _args: Any, output: Any) -> None:
        caught["final"] = first_tensor(output)[0]

    with hooks() as handles:
        handles.append(anatomy.layers[0].register_forward_pre_hook(enter, with_kwargs=True))
        for i, layer in enumerate(anatomy.layers):
            handles.append(layer.register_forward_hook(leave(i + 1)))
        last = anatomy.after_layers[-1] if anatomy.after_layers else anatomy.layers[-1]
        handles.append(last.register_forward_hook(final))
        with measuring(model, recorder) if recorder else nullcontext():
            run_body(model.model, ids[None].to(anatomy.head.weight.device))
    return Measured(caught["final"], [kept[layer] for layer in lens_layers], norms)


@contextmanager
def measuring(model: LanguageModel, recorder: Recorder) -> Iterator[None]:
    """Let a model's attention measure itself, gates of its own included, or reduce the maps it hands over."""
    if model.attention is not None and model.attention.by_maps:

        def take_map(layer: int, weights: Tensor) -> None:
            recorder.take_map(layer, weights, span_of_map(model, weights))

        with eager_maps(model, take_map):
            yield
        return
    gates = model.attention.gates if model.attention is not None else ()
    with hooks() as handles, attending(model.model, model.anatomy, recorder):
        for layer, name in gates:

            def take(_module: nn.Module, args: Any, at: int = layer) -> None:
                recorder.take_gate(at, args[0][0])

            handles.append(model.model.get_submodule(name).register_forward_pre_hook(take))
        yield
