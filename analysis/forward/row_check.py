"""Rows of every layer's attention by the library's own function, while the run goes.

A window, chunk, temperature or bias shows only in texts that are long enough, so the proof that attention was
measured rightly is made on the text itself: its last rows, under the masks that the library makes for them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.forward.attention_adapter import AttentionCall, attending
from analysis.forward.masks import CAUSAL, Visibility, blocked
from analysis.forward.read_cache import read_cache
from analysis.forward.results import Check
from analysis.models.anatomy import run_body

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel

ROWS = 4
"""Last rows of the text that are checked in every layer."""
TOLERANCE, HALF_TOLERANCE = 1e-4, 0.05
"""Of a layer's largest output; the second for 16-bit models, whose outputs are rounded to 3 digits."""


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
    """

    def __init__(self, model: LanguageModel, ids: Tensor) -> None:
        self.n_tokens = len(ids)
        self.rows = range(max(0, self.n_tokens - ROWS), self.n_tokens)
        self.error = 0.0
        """Largest difference so far, as a share of the layer's largest output."""
        self.worst_layer: int | None = None
        self._masks: dict[int, Tensor | None] = {}

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
        rows = slice(self.rows.start, self.rows.stop)
        theirs = library_rows(call, rows, self._mask(call, visibility))
        for head in visibility.heads_silenced(call.layer) if visibility else []:
            theirs[head] = 0
        ours = output[:, rows].float()
        largest = theirs.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
        error = float((ours - theirs).abs().max() / largest)
        if not error <= self.error:  # NaN is the worst
            self.error, self.worst_layer = error, call.layer

    def _mask(self, call: AttentionCall, visibility: Visibility | None) -> Tensor:
        """The library's mask at the checked rows, and what this run hides, added to the scores, (1, 1 or H, r, T)."""
        mask = self._masks[call.layer]
        lowest = torch.finfo(call.query.dtype).min
        shape = 1, 1, len(self.rows), self.n_tokens
        if mask is None:
            mask = torch.zeros(shape, dtype=call.query.dtype, device=call.query.device)
            position = torch.arange(self.n_tokens, device=mask.device)
            later = position > torch.arange(self.rows.start, self.rows.stop, device=mask.device)[:, None]
            mask = mask.masked_fill(later, lowest)
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
                    hidden=visibility.hidden_keys(call.layer, group),
                    device=mask.device,
                )
                for group in range(n_groups)
            ]
        )
        return mask.masked_fill(hidden.repeat_interleave(n_heads // n_groups, 0)[None], lowest)

    def passed(self, dtype: str) -> bool:
        """Whether the rows agree, for a model of this precision."""
        return self.error <= tolerance(dtype)

    def as_check(self, dtype: str) -> Check:
        """The result as a run shows it."""
        name = f"last {len(self.rows)} rows of every layer equal the library's"
        return Check(name, self.error, tolerance(dtype), "of an output")


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
    function = getattr(module_file, "eager_attention_forward", None) or _fused()
    keywords = {"dropout": 0.0} | call.keywords
    output = function(call.module, call.query[:, :, rows], call.key, call.value, mask, **keywords)[0]
    return output[0].transpose(0, 1).float()


def _fused() -> Any:
    """The library's function for models whose own file has none."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    return sdpa_attention_forward
