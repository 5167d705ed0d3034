"""Which tokens a query may see: the model's own mask, and what is hidden on top of it.

A mask never moves anything: tokens keep their positions, and a query always sees itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

_NAMED = 8
"""Tokens or heads that a description names one by one."""


@dataclass(frozen=True)
class AttentionSpan:
    """What a model's own mask lets a query see: all before it, the last few tokens, or its chunk."""

    window: int | None = None
    """Tokens a query sees, itself included."""
    chunk: int | None = None
    """Tokens of a chunk: a query sees those of its own chunk up to itself (Llama 4)."""

    def first_key(self, row: int) -> int:
        """First key that the query at a position sees."""
        if self.chunk is not None:
            return row // self.chunk * self.chunk
        return 0 if self.window is None else max(0, row - self.window + 1)

    def widest(self, n: int) -> int:
        """Most keys that a query of n tokens sees."""
        return min(n, self.window or n, self.chunk or n)

    def hides(self, i: Tensor, j: Tensor) -> Tensor:
        """Keys at positions j that queries at i do not see, bool, broadcast."""
        out = j > i
        if self.window is not None:
            out = out | (i - j >= self.window)
        if self.chunk is not None:
            chunk = self.chunk
            out = out | (i.div(chunk, rounding_mode="floor") != j.div(chunk, rounding_mode="floor"))
        return out


CAUSAL = AttentionSpan()
"""Everything before a query, and itself."""


def span_of(
    mask_function: Callable[..., Any], local_size: int | None, device: torch.device | str = "cpu"
) -> AttentionSpan | None:
    """The span that a mask function of transformers describes; None if it is none of those known here.

    Parameters
    ----------
    mask_function : callable
        ``(batch, head, query position, key position) -> bool``, as the library makes masks from.
    local_size : int or None
        Length of the window or chunk, where the library names one.
    device : torch.device or str
        Where the function's own tensors are.

    Notes
    -----
    Read off the function itself, at the positions where windows, chunks and plain causal masks differ.
    """
    size = local_size or 8
    candidates = [CAUSAL]
    if local_size is not None:
        candidates += [AttentionSpan(window=local_size), AttentionSpan(chunk=local_size)]
    edges = {k * size + d for k in range(4) for d in (-1, 0, 1)} | {size // 2, 2 * size + size // 2}
    others = {x for edge in edges for x in (edge, edge - size)}
    i = torch.tensor(sorted(x for x in edges if x >= 0), device=device)[:, None]
    j = torch.tensor(sorted(x for x in others if x >= 0), device=device)[None]
    zero = torch.zeros((), dtype=torch.int64, device=device)
    try:
        seen = mask_function(zero, zero, i, j).expand(len(i), j.shape[1])
    except Exception:  # noqa: BLE001 - any function of the library's
        return None
    for span in candidates:
        if torch.equal(seen, ~span.hides(i, j)):
            return span
    return None


@dataclass(frozen=True, eq=False)
class Visibility:
    """What later queries may no longer see, beyond the model's own mask.

    Raises
    ------
    ValueError
        If the window is not positive, or the sizes do not fit.
    """

    hidden: np.ndarray | None = None
    """bool, (T,), (G, T) or (L, G, T): keys that queries from ``first_query`` on cannot see."""
    first_query: int = 0
    """First query for which ``hidden`` holds; earlier ones see as the model does."""
    window: int | None = None
    """Tokens a query can see, itself included; None for no limit of ours."""
    n_sink: int = 0
    """First tokens that stay visible outside ``window``."""
    silenced: frozenset[tuple[int, int]] = frozenset()
    """(layer, query head) pairs whose output is replaced by zero; layers by their number in the model."""
    _moved: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False)
    """``hidden`` by device: moved once, not for every layer."""

    def __post_init__(self) -> None:
        if self.window is not None and self.window < 1:
            raise ValueError(f"a window sees at least the token itself, got {self.window}")
        if self.n_sink < 0 or self.first_query < 0:
            raise ValueError("n_sink and first_query count tokens and cannot be negative")
        if self.hidden is not None and (self.hidden.dtype != bool or self.hidden.ndim > 3):
            raise ValueError("hidden is a bool array of shape (T,), (G, T) or (L, G, T)")

    def describe(self) -> str:
        """What is hidden, in words: part of a run's spec."""
        parts = []
        if self.window is not None:
            first = f"first {self.n_sink} and " if self.n_sink else ""
            parts.append(f"attention sees the {first}last {self.window} tokens")
        if self.hidden is not None:
            where = np.flatnonzero(self.hidden.reshape(-1, self.hidden.shape[-1]).any(0))
            named = ", ".join(map(str, where[:_NAMED])) + (
                f" and {len(where) - _NAMED} more" if len(where) > _NAMED else ""
            )
            parts.append(f"tokens {named} hidden from query {self.first_query} on")
        if self.silenced:
            heads = sorted(self.silenced)
            named = ", ".join(f"{layer}.{head}" for layer, head in heads[:_NAMED])
            parts.append(
                f"heads {named}{f' and {len(heads) - _NAMED} more' if len(heads) > _NAMED else ''} silenced"
            )
        if not self._words_tell_all():
            content = [np.ascontiguousarray(self.hidden).tobytes() if self.hidden is not None else b""]
            content += [repr((getattr(self.hidden, "shape", ()), sorted(self.silenced))).encode()]
            parts.append(f"mask {hashlib.sha256(b''.join(content)).hexdigest()[:8]}")
        return "; ".join(parts)

    def _words_tell_all(self) -> bool:
        """Whether the words alone say what is hidden: the spec of a run must not fit another one."""
        few_keys = self.hidden is None or (self.hidden.ndim == 1 and self.hidden.sum() <= _NAMED)
        return bool(few_keys) and len(self.silenced) <= _NAMED

    def hidden_keys(self, layer: int, group: int, device: torch.device) -> Tensor | None:
        """Keys hidden from one KV head of one layer, bool, shape (T,), or None."""
        if self.hidden is None:
            return None
        if device not in self._moved:
            self._moved[device] = torch.from_numpy(self.hidden).to(device)
        hidden = self._moved[device]
        return hidden if hidden.ndim == 1 else hidden[group] if hidden.ndim == 2 else hidden[layer, group]

    def heads_silenced(self, layer: int) -> list[int]:
        """Query heads of a layer whose output is zero."""
        return sorted(head for at, head in self.silenced if at == layer)


def blocked(
    rows: range,
    keys: range,
    *,
    span: AttentionSpan,
    ours: Visibility | None,
    hidden: Tensor | None,
    device: torch.device,
) -> Tensor:
    """Which (query, key) pairs of a block are not to be seen.

    Parameters
    ----------
    rows, keys : range
        Positions of the queries and keys of the block.
    span : AttentionSpan
        The model's own mask.
    ours, hidden
        A :class:`Visibility` and its hidden keys for this layer and KV head, if any.

    Returns
    -------
    Tensor of bool, shape (len(rows), len(keys))
    """
    i = torch.arange(rows.start, rows.stop, device=device)[:, None]
    j = torch.arange(keys.start, keys.stop, device=device)[None, :]
    out = span.hides(i, j)
    if ours is not None and ours.window is not None:
        out |= (i - j >= ours.window) & (j >= ours.n_sink)
    if hidden is not None and ours is not None:
        gone = hidden[keys.start : keys.stop]
        out |= gone[None, :] & (i >= ours.first_query) & (i != j)
    return out
