"""Rows of every layer's attention by the library's own function, while the run goes.

A window, chunk, temperature or bias shows only in texts that are long enough, so the proof that attention was
measured rightly is made on the text itself: its last rows, under the masks that the library makes for them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.forward.attention_adapter import AttentionCall, attending
from analysis.forward.read_cache import read_cache
from analysis.forward.visibility import CAUSAL, AttentionSpan, Visibility, blocked
from analysis.models.body import run_body
from analysis.models.library_parts import fused_attention
from analysis.results.trace import Check

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel

ROWS = 4
"""Last rows of the text that are checked in every layer."""
TOLERANCE, HALF_TOLERANCE = 1e-4, 0.05
"""Of a layer's largest output; the second for 16-bit models, whose outputs are rounded to 3 digits."""


@dataclass(frozen=True)
class MaskProof:
    """Spans that gave the library's rows under the library's masks, on a text of so many tokens."""

    n_tokens: int = 0
    spans: dict[int, AttentionSpan] = field(default_factory=dict)
    """By number of the layer."""


class RowCheck:
    """Compares measured attention with the library's own at the end of a text.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    ids : Tensor, int64, shape (T,)
        The text.

    Raises
    ------
    Exception
        Whatever the model raises when it is asked for its masks.

    Notes
    -----
    The masks come from a pass of the last rows alone, under the library's own mask function and after a
    cache that says how long the text is. What the layers compute in it means nothing and is thrown away.
    Once a text has passed, its spans stand for the masks of texts that are no longer: what a layer masks
    depends on positions alone.
    """

    def __init__(self, model: LanguageModel, ids: Tensor) -> None:
        self.model = model
        self.n_tokens = len(ids)
        self.rows = range(max(0, self.n_tokens - ROWS), self.n_tokens)
        self._differences = torch.zeros(len(model.anatomy.layers), device=model.anatomy.head.weight.device)
        """Of each layer, as a share of its largest output. One tensor: see :class:`Recorder` about small ones."""
        self._spans: dict[int, AttentionSpan] = {}
        self._masks: dict[int, Tensor | None] = {}
        proof = model.found.get(MaskProof)
        self._known = proof if proof is not None and proof.n_tokens >= self.n_tokens else None
        if self._known is None:
            self._read_masks(model, ids)

    def _read_masks(self, model: LanguageModel, ids: Tensor) -> None:
        """Let the library make its masks for the checked rows."""

        def take(call: AttentionCall) -> Tensor:
            self._masks[call.layer] = call.mask
            heads, value = call.query.shape[1], call.value
            return value.repeat_interleave(heads // value.shape[1], 1)

        with attending(model.model, model.anatomy, take, library_masks=True):
            device = model.anatomy.head.weight.device
            places = torch.tensor([list(self.rows)], device=device)
            body_cache = read_cache(model.model, self.rows.start)
            run_body(model.model, ids[None, self.rows.start :].to(device), places, body_cache)

    def compare(self, call: AttentionCall, output: Tensor, visibility: Visibility | None = None) -> None:
        """Note how far a layer's output, (H, T, d), is from the library's at the checked rows."""
        self._spans[call.layer] = call.span
        rows = slice(self.rows.start, self.rows.stop)
        theirs = library_rows(call, rows, self._mask(call, visibility))
        for head in visibility.heads_silenced(call.layer) if visibility else []:
            theirs[head] = 0
        ours = output[:, rows].float()
        largest = theirs.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
        self._differences[call.layer] = (ours - theirs).abs().max() / largest

    @property
    def error(self) -> float:
        """Largest difference, as a share of its layer's largest output. Asking for it waits for the device."""
        return float(self._differences.max())  # NaN is the worst

    @property
    def worst_layer(self) -> int:
        """The layer that differs most."""
        return int(self._differences.argmax())

    def _mask(self, call: AttentionCall, visibility: Visibility | None) -> Tensor:
        """The library's mask at the checked rows, and what this run hides, added to the scores, (1, 1 or H, r, T)."""
        lowest = torch.finfo(call.query.dtype).min
        mask = None if self._known is not None else self._masks[call.layer]
        if mask is None:
            span = CAUSAL if self._known is None else self._known.spans[call.layer]
            device = call.query.device
            i = torch.arange(self.rows.start, self.rows.stop, device=device)[:, None]
            hidden = span.hides(i, torch.arange(self.n_tokens, device=device))
            mask = torch.zeros(hidden.shape, dtype=call.query.dtype, device=device)
            mask = mask.masked_fill(hidden, lowest)[None, None]
        if visibility is None:
            return mask
        n_heads, n_groups = call.query.shape[1], call.key.shape[1]
        hidden = torch.stack(
            [
                blocked(
                    self.rows,
                    range(self.n_tokens),
                    span=CAUSAL,
                    ours=visibility,
                    hidden=visibility.hidden_keys(call.layer, group, mask.device),
                    device=mask.device,
                )
                for group in range(n_groups)
            ]
        )
        return mask.masked_fill(hidden.repeat_interleave(n_heads // n_groups, 0)[None], lowest)

    def passed(self) -> bool:
        """Whether the rows agree. Spans that were held against the library's masks are remembered."""
        passed = self.error <= tolerance(self.model.info.dtype)
        if passed and self._known is None:
            self.model.found[MaskProof] = MaskProof(self.n_tokens, dict(self._spans))
        return passed

    def as_check(self) -> Check:
        """The result as a run shows it."""
        name = f"last {len(self.rows)} rows of every layer equal the library's"
        return Check(name, self.error, tolerance(self.model.info.dtype), "of an output")


def tolerance(dtype: str) -> float:
    """How far rows may be from the library's, as a share of the layer's largest output."""
    return TOLERANCE if dtype in ("float32", "float64") else HALF_TOLERANCE


def library_rows(call: AttentionCall, rows: slice, mask: Tensor) -> Tensor:
    """A layer's output at some rows by the library's own eager function, float32, (H, r, dv).

    Parameters
    ----------
    call : AttentionCall
        As the layer made it: keywords go on as they came.
    rows : slice
        Queries.
    mask : Tensor, shape (1, 1 or H, r, T)
        Added to the scores.
    """
    module_file: Any = sys.modules[type(call.module).__module__]
    function = getattr(module_file, "eager_attention_forward", None) or fused_attention()
    keywords = {"dropout": 0.0} | call.keywords
    output = function(call.module, call.query[:, :, rows], call.key, call.value, mask, **keywords)[0]
    return output[0].transpose(0, 1).float()
