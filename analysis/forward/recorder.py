"""What a trace keeps of every layer's attention, taken while the layers run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UnsupportedModelError
from analysis.forward.attention import Room
from analysis.forward.attention_adapter import AttentionCall, attend_call, own_mask
from analysis.forward.eager_maps import reduce_map
from analysis.forward.fetch import fetch
from analysis.forward.visibility import Visibility
from analysis.results.attention import AttentionTrace, seeing_queries, visible_keys

if TYPE_CHECKING:
    from analysis.forward.layer_spectra import Spectra
    from analysis.forward.row_check import RowCheck
    from analysis.forward.row_sums import Attended
    from analysis.forward.visibility import AttentionSpan


class Recorder:
    """Measures every layer's attention and takes what a trace keeps of it.

    What is kept of every layer lies in arrays made with the first one, on its device, and comes over
    when the pass is over: nothing waits for a GPU while it runs. A little memory taken
    after each layer would lie scattered between the large blocks of the next ones, and the C
    library then cannot join those again: a pass would take several times what it holds.

    Parameters
    ----------
    layer_numbers : sequence of int
        The layers that have attention, rising.
    visibility : Visibility, optional
        What is hidden on top of the model's own mask.
    spectra : Spectra, optional
        Takes the spectra of queries, keys and values.
    check : RowCheck, optional
        Holds some rows of every layer against the library's own function.
    """

    def __init__(
        self,
        layer_numbers: tuple[int, ...],
        visibility: Visibility | None = None,
        spectra: Spectra | None = None,
        check: RowCheck | None = None,
    ) -> None:
        self.layer_numbers = layer_numbers
        self.visibility = visibility
        self.spectra = spectra
        self.check = check
        self.taken: set[int] = set()
        self.gated: frozenset[int] = frozenset()
        """Layers with a gate, whose :meth:`take_gate` will come."""
        self._outputs: dict[int, Tensor] = {}
        """Of the layer that runs, what our attention gave, (H, T, d), for its gate."""
        self._kept: dict[str, Tensor] = {}
        self._spans: dict[int, AttentionSpan] = {}
        self._seen_by: dict[tuple[AttentionSpan, torch.device], Tensor] = {}
        """Queries that see each key, where they were needed, (T,)."""
        self._room = Room()
        self.seconds = 0.0
        """Spent on attention, its checks included."""
        self._has_sinks = True

    @property
    def row_error(self) -> float:
        """Largest difference of a checked row's sum from its mass. Asking for it waits for the device."""
        return float(self._kept["row_error"].max()) if self._kept else 0.0

    def __call__(self, call: AttentionCall) -> Tensor:
        """Attend for one layer; an :data:`analysis.forward.attention_adapter.Attend`."""
        started = time.perf_counter()
        own_mask(call)
        attended = attend_call(call, self.visibility, room=self._room)
        if self.check is not None:
            self.check.compare(call, attended.output, self.visibility)
        if self.spectra is not None and call.layer in self.layer_numbers:
            row = self.layer_numbers.index(call.layer)
            self.spectra.take("query", row, call.query[0].transpose(0, 1).flatten(1))
            self.spectra.take("key", row, call.key[0].transpose(0, 1).flatten(1))
            self.spectra.take("value", row, call.value[0].transpose(0, 1).flatten(1))
        self.take(call.layer, attended, call.key[0], call.value[0], call.span, call.sink_logits is not None)
        if call.layer in self.gated:
            self._outputs[call.layer] = attended.output
        self.seconds += time.perf_counter() - started
        return attended.output[None]

    def take_map(self, layer: int, weights: Tensor, span: AttentionSpan) -> None:
        """Take the map (H, T, T) of a layer whose queries, keys and values are not seen."""
        unseen = torch.full((*weights.shape[:2], 1), torch.nan)
        self.take(layer, reduce_map(weights), unseen, unseen, span, False)

    def result(self) -> AttentionTrace:
        """All layers together.

        Raises
        ------
        UnsupportedModelError
            If another layer attended than those that were expected.
        """
        if self.taken != set(self.layer_numbers):
            raise UnsupportedModelError(
                f"{len(self.taken)} layers used transformers' attention interface, {len(self.layer_numbers)} were expected.",
                "This model's attention cannot be measured.",
            )
        kept = fetch({name: x for name, x in self._kept.items() if name != "row_error"})
        sinks, gate = kept.pop("learned_sink"), kept.pop("gate")
        spans = [self._spans[layer] for layer in self.layer_numbers]
        n_tokens = kept["entropy"].shape[-1]
        return AttentionTrace(
            learned_sink=sinks if self._has_sinks else None,
            gate=None if np.isnan(gate).all() else gate,
            layer_numbers=np.array(self.layer_numbers, np.int32),
            window=np.array([span.window or 0 for span in spans], np.int32),
            chunk=np.array([span.chunk or 0 for span in spans], np.int32),
            sink_baseline=np.array([_sink_baseline(n_tokens, span) for span in spans], np.float32),
            **kept,
        )

    def take(
        self, layer: int, attended: Attended, key: Tensor, value: Tensor, span: AttentionSpan, sinks: bool
    ) -> None:
        """Reduce one layer to what a trace keeps."""
        self.taken.add(layer)
        if layer not in self.layer_numbers:
            return  # `result` says so
        n_tokens, device = key.shape[1], key.device
        column = attended.columns[:, 0]
        position = torch.arange(n_tokens, device=device, dtype=torch.float64)
        if (span, device) not in self._seen_by:
            seen_by = seeing_queries(n_tokens, span.window or 0, span.chunk or 0)
            self._seen_by[span, device] = torch.from_numpy(seen_by).to(device)
        later = slice(1, None) if n_tokens > 1 else slice(0, None)
        mass = attended.mass[:, later].double()
        # sum over queries and keys of p (i - j), from the row masses and the column sums alone
        looked_back = (attended.mass.double() * position).sum(-1) - (column * position).sum(-1)
        self._spans[layer] = span
        self._store(
            self.layer_numbers.index(layer),
            {
                "entropy": attended.entropy,
                "received": column / self._seen_by[span, device],
                "sink_mass": attended.first_key[:, later].double().mean(-1),
                "distance": looked_back / mass.sum(-1),
                "value_norm": torch.linalg.vector_norm(value, dim=-1, dtype=torch.float32),
                "key_norm": torch.linalg.vector_norm(key, dim=-1, dtype=torch.float32),
                "learned_sink": (1 - mass).mean(-1),
                "gate": torch.full((len(column),), torch.nan, device=device),
                "row_error": attended.row_error,
            },
        )
        self._has_sinks &= sinks

    def take_gate(self, layer: int, passed: Tensor) -> None:
        """Note how much of every head's output its gate let pass.

        Parameters
        ----------
        layer : int
            The layer that runs.
        passed : Tensor, shape (T, H d)
            What the layer's output projection got.

        Notes
        -----
        ``<x, o> / <o, o>`` of every head and token, for output o and what passed, x: the mean of the gate
        weighted by what it acts on; 1 where nothing gates. No division by single numbers.
        """
        output = self._outputs.pop(layer)
        ours = output.transpose(0, 1).float()
        theirs = passed.reshape(ours.shape).float()
        share = (theirs * ours).sum(-1) / ours.square().sum(-1).clamp(min=torch.finfo(torch.float32).tiny)
        self._kept["gate"][self.layer_numbers.index(layer)] = share.mean(0)

    def _store(self, row: int, measured: dict[str, Tensor]) -> None:
        """Copy one layer's numbers into the arrays of all layers."""
        if not self._kept:
            self._kept = {
                name: torch.zeros(len(self.layer_numbers), *x.shape, device=x.device)
                for name, x in measured.items()
            }
        for name, x in measured.items():
            if x.shape != self._kept[name].shape[1:]:
                raise UnsupportedModelError(
                    "The layers of this model have different numbers of attention heads.",
                    "Its attention cannot be measured.",
                )
            self._kept[name][row] = x


def _sink_baseline(n_tokens: int, span: AttentionSpan) -> float:
    """Mean weight of queries on key 0 if each attended to all it sees alike; query 0 left out."""
    later = slice(1, None) if n_tokens > 1 else slice(0, None)
    visible = visible_keys(n_tokens, span.window or 0, span.chunk or 0)[later]
    sees_first = visible == np.arange(n_tokens)[later] + 1
    return float((sees_first / visible).mean())
