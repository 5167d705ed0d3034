"""What a trace keeps of every layer's attention, taken while the layers run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UnsupportedModelError
from analysis.forward.attention import attend
from analysis.forward.attention_adapter import AttentionCall, own_mask
from analysis.forward.eager_maps import reduce_map
from analysis.forward.visibility import Visibility
from analysis.results.attention import AttentionTrace, seeing_queries, visible_keys

if TYPE_CHECKING:
    from analysis.forward.attention import Attended
    from analysis.forward.layer_spectra import Spectra
    from analysis.forward.row_check import RowCheck
    from analysis.forward.visibility import AttentionSpan


class Recorder:
    """Measures every layer's attention and takes what a trace keeps of it.

    What is kept of every layer lies in arrays made with the first one, on the layer's device, and comes over once. A little memory taken
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
        self.row_error = 0.0
        self.seconds = 0.0
        """Spent on attention, its checks included."""
        self.outputs: dict[int, Tensor] = {}
        """Of the layer that runs, what our attention gave, (H, T, d), for its gate."""
        self._kept: dict[str, Tensor] = {}
        self._visible: dict[tuple[int, int, int, torch.device], tuple[Tensor, Tensor]] = {}
        self._has_sinks = True

    def __call__(self, call: AttentionCall) -> Tensor:
        """Attend for one layer; an :data:`analysis.forward.attention_adapter.Attend`."""
        started = time.perf_counter()
        own_mask(call)
        attended = attend(
            call.query[0],
            call.key[0],
            call.value[0],
            scale=call.scale,
            softcap=call.softcap,
            span=call.span,
            sink_logits=call.sink_logits,
            visibility=self.visibility,
            layer=call.layer,
        )
        if self.check is not None:
            self.check.compare(call, attended.output, self.visibility)
        if self.spectra is not None and call.layer in self.layer_numbers:
            row = self.layer_numbers.index(call.layer)
            self.spectra.take("query", row, call.query[0].transpose(0, 1).flatten(1))
            self.spectra.take("key", row, call.key[0].transpose(0, 1).flatten(1))
            self.spectra.take("value", row, call.value[0].transpose(0, 1).flatten(1))
        self.take(call.layer, attended, call.key[0], call.value[0], call.span, call.sink_logits is not None)
        self.outputs = {call.layer: attended.output}
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
        kept = {name: values.cpu().numpy() for name, values in self._kept.items()}
        sinks, gate = kept.pop("learned_sink"), kept.pop("gate")
        return AttentionTrace(
            learned_sink=sinks if self._has_sinks else None,
            gate=None if np.isnan(gate).all() else gate,
            layer_numbers=np.array(self.layer_numbers, np.int32),
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
        window, chunk = span.window or 0, span.chunk or 0
        column = attended.columns[:, 0]
        position = torch.arange(n_tokens, device=device, dtype=torch.float64)
        seen_by, visible = self._counts(n_tokens, window, chunk, device)
        later = slice(1, None) if n_tokens > 1 else slice(0, None)
        mass = attended.mass[:, later].double()
        # sum over queries and keys of p (i - j), from the row masses and the column sums alone
        looked_back = (attended.mass.double() * position).sum(-1) - (column * position).sum(-1)
        visible = visible[later]
        sees_first = visible == position[later] + 1
        self._store(
            self.layer_numbers.index(layer),
            {
                "entropy": attended.entropy,
                "received": column / seen_by,
                "sink_mass": attended.first_key[:, later].double().mean(-1),
                "sink_baseline": (sees_first / visible).mean(),
                "distance": looked_back / mass.sum(-1),
                "value_norm": torch.linalg.vector_norm(value, dim=-1, dtype=torch.float32),
                "key_norm": torch.linalg.vector_norm(key, dim=-1, dtype=torch.float32),
                "window": torch.tensor(window),
                "chunk": torch.tensor(chunk),
                "learned_sink": (1 - mass).mean(-1),
                "gate": torch.full((len(column),), torch.nan),
            },
        )
        self._has_sinks &= sinks
        self.row_error = max(self.row_error, attended.row_error)

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
        output = self.outputs.pop(layer)
        ours = output.transpose(0, 1).float()
        theirs = passed.reshape(ours.shape).float()
        share = (theirs * ours).sum(-1) / ours.square().sum(-1).clamp(min=torch.finfo(torch.float32).tiny)
        self._kept["gate"][self.layer_numbers.index(layer)] = share.mean(0)

    def _counts(self, n_tokens: int, window: int, chunk: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """How many queries see each key, and how many keys each query; moved to a device once."""
        known = (n_tokens, window, chunk, device)
        if known not in self._visible:
            counts = seeing_queries(n_tokens, window, chunk), visible_keys(n_tokens, window, chunk)
            seen_by, visible = (torch.from_numpy(count).to(device) for count in counts)
            self._visible[known] = seen_by, visible.double()
        return self._visible[known]

    def _store(self, row: int, measured: dict[str, Any]) -> None:
        """Copy one layer's numbers into the arrays of all layers."""
        if not self._kept:
            self._kept = {
                name: torch.zeros(
                    len(self.layer_numbers),
                    *x.shape,
                    dtype=torch.float32 if x.is_floating_point() else torch.int32,
                    device=x.device,
                )
                for name, x in measured.items()
            }
        for name, x in measured.items():
            if x.shape != self._kept[name].shape[1:]:
                raise UnsupportedModelError(
                    "The layers of this model have different numbers of attention heads.",
                    "Its attention cannot be measured.",
                )
            self._kept[name][row] = x
