"""What the layers do to visual tokens: spectra of their states, norms, sinks, and two papers' scores of each patch.

All of it is taken while a model reads a prompt, layer by layer; a layer's states are reduced and forgotten. Which
layer the matrix entropy collapses at, over many pictures, is said by the rule of the text pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.forward.attention_adapter import AttentionCall
from analysis.forward.layer_spectra import LARGEST_SIDE, Spectra
from analysis.models.body import first_tensor, hooks
from analysis.results.spectra import renyi_entropy
from analysis.visual_tokens.looking import Places
from analysis.visual_tokens.measures import sink_dimensions, visual_sinks
from analysis.visual_tokens.parts import language_layers, language_part, sublayers
from analysis.visual_tokens.policies.entropyprune import EntropyPrune, EntropyPruneReleased
from analysis.visual_tokens.policies.transprune import transitions
from analysis.visual_tokens.results import VisualLayers

FIRST_SINK_LAYER = 2
"""States before it are no sinks yet (Kang et al. 2025)."""
_NO_SPECTRA = (
    "At {n:,} visual tokens and width {width:,} their spectra would take longer than the answer itself."
)


class LayersRecorder:
    """Takes the states of a prompt's tokens from every layer, and the norms of what is written after it.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model.
    places : Places
    """

    def __init__(self, model: Any, places: Places) -> None:
        self._part, self._blocks, self._places = language_part(model), language_layers(model), places
        n, n_visual = len(self._blocks), len(places.visual)
        width = int(self._part.config.hidden_size)
        self._spectra = {"visual": Spectra(("states",), n), "text": Spectra(("states",), n)}
        self.unavailable: dict[str, str] = {}
        for kind, count in (("visual", n_visual), ("text", len(places.text))):
            if min(count, width) > LARGEST_SIDE:
                self._spectra.pop(kind)
                self.unavailable[f"matrix entropy, {kind}"] = _NO_SPECTRA.format(n=count, width=width)
        self._norms = np.zeros((n + 1, n_visual), np.float32)
        self._scores = {"paper": self._empty(), "released": self._empty(), "transition": self._empty()}
        self._first = np.zeros((n + 1, width), np.float32)
        self._massive: list[dict[int, np.ndarray]] = [{} for _ in range(n + 1)]
        self._written: list[list[float]] = [[] for _ in range(n + 1)]
        self._reads_prompt = True

    def _empty(self) -> np.ndarray:
        return np.full((len(self._blocks), len(self._places.visual)), np.nan, np.float32)

    @contextmanager
    def recording(self, on_layer: Callable[[int], None]) -> Iterator[None]:
        """Record every pass inside the block: the first reads the prompt, each other a token.

        Parameters
        ----------
        on_layer : callable
            Called with the number of each layer that begins to read the prompt.
        """
        n = len(self._blocks)
        with hooks() as handles:
            for layer, module in enumerate((*self._blocks, self._part.norm)):
                hook = self._enters(layer, on_layer)
                handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
            for layer, block in enumerate(self._blocks):
                handles += self._watched(layer, block)
            spectra = list(self._spectra.values())
            with _all_collecting(spectra):
                yield
        assert n + 1 == len(self._written)

    def _enters(self, layer: int, on_layer: Callable[[int], None]) -> Any:
        def hook(_module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            states = (arguments[0] if arguments else keywords["hidden_states"])[0]
            if not self._reads_prompt:
                self._written[layer].append(float(states[-1].float().norm()))
                return
            if layer < len(self._blocks):
                on_layer(layer)
            self._take(layer, states)
            self._reads_prompt = layer < len(self._blocks)  # the final norm ends the prompt

        return hook

    def _take(self, layer: int, states: Tensor) -> None:
        visual = states[self._places.visual.to(states.device)]
        for kind, positions in (("visual", self._places.visual), ("text", self._places.text)):
            if kind in self._spectra:
                self._spectra[kind].take("states", layer, states[positions.to(states.device)])
        self._norms[layer] = visual.float().norm(dim=1).cpu().numpy()
        self._first[layer] = states[0].float().cpu().numpy()
        if layer >= FIRST_SINK_LAYER:
            values = visual.float().cpu().numpy()
            self._massive[layer] = {
                int(d): visual_sinks(values, np.array([d])) for d in sink_dimensions(values)
            }

    def see_queries(self, call: AttentionCall) -> None:
        """Score the prompt's visual tokens by their queries; later calls are left alone."""
        if self._reads_prompt:
            queries = call.query[0][:, self._places.visual.to(call.query.device)].transpose(0, 1)
            for name, method in (("paper", EntropyPrune()), ("released", EntropyPruneReleased())):
                self._scores[name][call.layer] = method.entropy(queries).cpu().numpy()

    def _watched(self, layer: int, block: nn.Module) -> list[Any]:
        """Handles of hooks that score how the sublayers of a layer move the prompt's visual tokens."""
        parts, handles = sublayers(block), []
        given: list[Tensor] = []
        moved: list[Tensor] = []

        def visual(states: Tensor) -> Tensor:
            return states[0, self._places.visual.to(states.device)].float().cpu()

        def takes(_module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            if self._reads_prompt:
                given.append(visual(arguments[0] if arguments else keywords["hidden_states"]))

        def makes(_module: nn.Module, _arguments: Any, output: Any) -> None:
            if self._reads_prompt:
                moved.append(transitions(((given.pop(), visual(first_tensor(output))),)))
                if len(moved) == len(parts):
                    self._scores["transition"][layer] = torch.stack(moved).sum(0).numpy()
                    moved.clear()

        for first, last in parts:
            handles.append(first.register_forward_pre_hook(takes, with_kwargs=True))
            handles.append(last.register_forward_hook(makes))
        if not parts:
            self.unavailable["transition"] = "The states between this model's sublayers cannot be read."
        return handles

    def written_norms(self, n_written: int) -> np.ndarray:
        """Norms of the states of the first written tokens, float32, (L + 1, A)."""
        return np.array([norms[:n_written] for norms in self._written], np.float32)

    def layers(self) -> VisualLayers:
        """What was recorded of the prompt."""
        n = len(self._blocks)
        nothing = np.full(n + 1, np.nan)
        entropies = {
            kind: [renyi_entropy(shares) for shares in spectra.shares["states"]]
            for kind, spectra in self._spectra.items()
            if "states" in spectra.shares
        }
        middle = self._first[max(FIRST_SINK_LAYER, n // 4) : max(FIRST_SINK_LAYER, 3 * n // 4) + 1]
        dimensions = sink_dimensions(middle)
        massive = np.zeros((n + 1, len(self._places.visual)), bool)
        for layer, found in enumerate(self._massive):
            for d in set(found) & set(dimensions.tolist()):
                massive[layer] |= found[d]
        text = entropies.get("text", [nothing, nothing])
        return VisualLayers(
            matrix_entropy_visual=entropies.get("visual", [nothing])[0],
            matrix_entropy_text=text[0],
            matrix_entropy_text_without_first=text[1],
            norms=self._norms,
            patch_entropy=self._scores["paper"],
            patch_entropy_released=self._scores["released"],
            transition=self._scores["transition"],
            massive=massive,
            sink_dimensions=tuple(int(d) for d in dimensions),
        )


@contextmanager
def _all_collecting(spectra: Sequence[Spectra]) -> Iterator[None]:
    if not spectra:
        yield
        return
    with spectra[0].collecting(), _all_collecting(spectra[1:]):
        yield
