"""What a trace keeps of every layer's attention, taken while the layers run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from analysis.attention_sinks.results import AttentionTrace
from analysis.errors import UnsupportedModelError
from analysis.forward.masks import Visibility

if TYPE_CHECKING:
    from analysis.forward.attention import Attended
    from analysis.forward.residual import Spectra


class Recorder:
    """Takes what every layer's attention measures, in the order in which layers run.

    What is kept of every layer lies in arrays made with the first one. A little memory taken
    after each layer would lie scattered between the large blocks of the next ones, and the C
    library then cannot join those again: a pass would take several times what it holds.
    """

    def __init__(
        self, n_layers: int, visibility: Visibility | None = None, spectra: Spectra | None = None
    ) -> None:
        self.n_layers = n_layers
        self.visibility = visibility
        self.spectra = spectra
        self.layers: list[dict[str, Any]] = []
        """Of each layer, views into the arrays and plain numbers."""
        self.row_error = 0.0
        self._kept: dict[str, np.ndarray] = {}
        self._views: list[dict[str, Any]] = []

    def result(self) -> AttentionTrace:
        """All layers together.

        Raises
        ------
        UnsupportedModelError
            If not every layer's attention came by.
        """
        if len(self.layers) != self.n_layers:
            raise UnsupportedModelError(
                f"{len(self.layers)} of {self.n_layers} layers use transformers' attention interface.",
                "This model's attention cannot be measured.",
            )
        kept = dict(self._kept)
        sinks = kept.pop("learned_sink")
        has_sinks = all(layer["learned_sink"] is not None for layer in self.layers)
        return AttentionTrace(learned_sink=sinks if has_sinks else None, **kept)

    def take(self, attended: Attended, key: Tensor, value: Tensor, window: int | None, sinks: bool) -> None:
        """Reduce one layer to what a trace keeps."""
        n_tokens = key.shape[1]
        column = attended.columns[:, 0]
        position = torch.arange(n_tokens, device=column.device, dtype=torch.float64)
        seen_by = (n_tokens - position).clamp(max=window or n_tokens)
        later = slice(1, None) if n_tokens > 1 else slice(0, None)
        mass = attended.mass[:, later].double()
        # sum over queries and keys of p (i - j), from the row masses and the column sums alone
        looked_back = (attended.mass.double() * position).sum(-1) - (column * position).sum(-1)
        visible = (position[later] + 1).clamp(max=window or n_tokens)
        sees_first = position[later] < (window or n_tokens)
        measured = {
            "entropy": attended.entropy,
            "received": column / seen_by,
            "sink_mass": attended.first_key[:, later].double().mean(-1),
            "sink_baseline": (sees_first / visible).mean(),
            "distance": looked_back / mass.sum(-1),
            "value_norm": torch.linalg.vector_norm(value, dim=-1, dtype=torch.float32),
            "key_norm": torch.linalg.vector_norm(key, dim=-1, dtype=torch.float32),
            "window": torch.tensor(window or 0),
            "learned_sink": (1 - mass).mean(-1),
        }
        self._store(measured)
        if len(self.layers) < self.n_layers:
            layer = self._views[len(self.layers)]
            layer["window"], layer["sink_baseline"] = window or 0, float(measured["sink_baseline"])
            if not sinks:
                layer["learned_sink"] = None
            self.layers.append(layer)
        else:
            self.layers.append({})  # more calls than layers: `result` says so
        self.row_error = max(self.row_error, attended.row_error)

    def _store(self, measured: dict[str, Tensor]) -> None:
        """Copy one layer's numbers into the arrays of all layers."""
        if not self._kept:
            self._kept = {
                name: np.zeros((self.n_layers, *x.shape), np.int32 if name == "window" else np.float32)
                for name, x in measured.items()
            }
            self._views = [
                {name: array[index] for name, array in self._kept.items()} for index in range(self.n_layers)
            ]
        for name, x in measured.items():
            if x.shape != self._kept[name].shape[1:]:
                raise UnsupportedModelError(
                    "The layers of this model have different numbers of attention heads.",
                    "Its attention cannot be measured.",
                )
            if len(self.layers) < self.n_layers:
                self._kept[name][len(self.layers)] = x.cpu().numpy()
