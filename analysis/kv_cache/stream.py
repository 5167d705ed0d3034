"""What a model keeps of the tokens that it has read, for several rows at once, and where it can be cut back.

Three kinds, seen on a few tokens once per model:

``shared``   attention alone: a cache without windows, whose keys and values another one may look at, up to any
             token. Reading on writes new tensors, so that nobody's cache changes.
``copied``   windows that cannot be undone, or states of a recurrence: copied whole, never cut.
``none``     what is left of the tokens is not in a cache: every step reads the whole path again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from analysis.forward.attention_probe import error_tolerance, plain_states, state_difference
from analysis.forward.read_cache import special_cache
from analysis.models.body import CACHE_ARGUMENTS, hooks, run_body, takes
from analysis.models.loading import LanguageModel

_PROBE = (1, 2, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9)
_OTHER = (9, 8, 7, 6, 5, 5, 5, 5)
"""Ids of two short texts."""
_READ, _BACK = 8, 5
"""Tokens of the first that are read at once, and to which it is cut back."""
_OTHER_RESULT = 1e-4
"""From this share of a state on, reading on after a cache is another computation, not another rounding."""
_STATES = ("keys", "values", "conv_states", "recurrent_states")
"""What layers of a cache keep, with one entry per row first."""


@dataclass(frozen=True)
class CacheKind:
    """How a model's cache can be used."""

    name: Literal["shared", "copied", "none"]
    argument: str
    """What the model calls it."""


def cache_kind(model: LanguageModel) -> CacheKind:
    """See on a few tokens how a model's cache can be used; seen once per model. Its lock is held by the caller."""
    if CacheKind not in model.found:
        model.found[CacheKind] = _probe(model)
    found: CacheKind = model.found[CacheKind]
    return found


def _probe(model: LanguageModel) -> CacheKind:
    exact = model.info.dtype in ("float32", "float64")
    allowed = _OTHER_RESULT if exact else error_tolerance(model.info.dtype)
    taken = takes(model.model)
    argument = next((name for name in CACHE_ARGUMENTS if name in taken), None)
    if argument is not None and special_cache(model.model) is None:
        for kind in (CacheKind("shared", argument), CacheKind("copied", argument)):
            with suppress(Exception):  # whatever a model raises, it does not work like this
                if _fits(kind, model) and _error(model, kind) <= allowed:
                    return kind
    return CacheKind("none", "")


def _fits(kind: CacheKind, model: LanguageModel) -> bool:
    from transformers import DynamicCache

    if kind.name != "shared":
        return True
    layers = DynamicCache(config=model.model.config).layers
    return not any(hasattr(layer, name) for layer in layers for name in _STATES[2:])


def _error(model: LanguageModel, kind: CacheKind) -> float:
    """Largest difference to plain passes of two rows that leave one text, step by step, others read in between."""
    ids = torch.tensor(_PROBE) % model.info.vocab_size
    other = torch.tensor(_OTHER) % model.info.vocab_size
    stream = Stream(model, kind, 1)
    stream.read(ids[None, :_READ])
    n = _BACK if kind.name == "shared" else _READ
    rows = (stream.cut(n) if kind.name == "shared" else stream).rows([0, 0])
    ways = torch.stack([ids[_READ:], other[: len(ids) - _READ]])
    states = []
    for t in range(ways.shape[1]):
        states.append(rows.read(ways[:, t : t + 1])[:, 0])
        plain_states(model, other)
    own = [stream.read(ids[None, t : t + 1])[:, 0] for t in range(_READ, len(ids))]
    error = 0.0
    before = ids[:n]
    for row, way in enumerate(ways):
        plain = plain_states(model, torch.cat([before, way]))[n:]
        ours = torch.stack([state[row] for state in states]).float()
        error = max(error, state_difference(model, ours, plain))
    plain = plain_states(model, ids)[_READ:]
    return max(error, state_difference(model, torch.cat(own).float(), plain))


class Stream:
    """Rows of equally many tokens that a model has read, and its cache of them.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller of every method that reads.
    kind : CacheKind
        Of this model.
    n_rows : int
        Rows of the batch.
    """

    def __init__(self, model: LanguageModel, kind: CacheKind, n_rows: int = 1) -> None:
        self.model, self.kind = model, kind
        self.ids = torch.zeros(n_rows, 0, dtype=torch.int64)
        """(B, n), on the CPU."""
        self.cache = _empty(model, kind)

    def __len__(self) -> int:
        return self.ids.shape[1]

    def read(self, ids: Tensor, on_layer: Callable[[int], None] | None = None) -> Tensor:
        """Read on; returns what the head gets, (B, m, D).

        Parameters
        ----------
        ids : Tensor, int64, shape (B, m)
            The next tokens of every row.
        on_layer : callable, optional
            Called with the number of finished layers. Raising from it stops the pass; the stream is of no more use.
        """
        if self.kind.name == "copied" and len(self) and ids.shape[1] > 1:
            # A recurrence goes on from its state one token at a time; more begin it anew.
            return torch.cat([self.read(ids[:, t : t + 1], on_layer) for t in range(ids.shape[1])], 1)
        anatomy = self.model.anatomy
        path = torch.cat([self.ids, ids], 1)
        given = path if self.cache is None else ids
        with hooks() as handles:
            caught = anatomy.watch_final(handles)
            if on_layer is not None:
                for i, layer in enumerate(anatomy.layers):
                    handles.append(layer.register_forward_hook(lambda _m, _a, _o, at=i: on_layer(at + 1)))
            run_body(
                self.model.model,
                given.to(anatomy.head.weight.device),
                cache=self.cache,
                cache_argument=self.kind.argument,
            )
        self.ids = path
        return caught["final"][:, -ids.shape[1] :]

    def rows(self, chosen: Sequence[int]) -> Stream:
        """These rows, each as often as it is named, with tensors of their own."""
        new = Stream(self.model, self.kind, 0)
        index = torch.tensor(list(chosen), dtype=torch.int64)
        new.ids = self.ids[index]
        if self.cache is not None:
            new.cache = _changed(self.cache, lambda held: held.index_select(0, index.to(held.device)))
        return new

    def cut(self, n: int) -> Stream:
        """The first n tokens, looking at this stream's tensors; of the kind "shared" alone."""
        new = Stream(self.model, self.kind, 0)
        new.ids = self.ids[:, :n]
        new.cache = _changed(self.cache, lambda held: held[..., :n, :])
        return new

    @property
    def n_bytes(self) -> int:
        """What its tensors take."""
        held = [] if self.cache is None else [t for layer in self.cache.layers for t in _tensors(layer)]
        return sum(t.numel() * t.element_size() for t in held)


def _empty(model: LanguageModel, kind: CacheKind) -> Any:
    from transformers import DynamicCache

    if kind.name == "none":
        return None
    return DynamicCache() if kind.name == "shared" else DynamicCache(config=model.model.config)


def _changed(cache: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A copy of a cache with other states; its containers are its own."""
    new = copy.copy(cache)
    new.layers = []
    for layer in cache.layers:
        twin = copy.copy(layer)
        for name, held in vars(layer).items():
            if name in _STATES and torch.is_tensor(held):
                setattr(twin, name, change(held))
            elif name in _STATES and isinstance(held, dict):
                setattr(twin, name, {i: change(s) if torch.is_tensor(s) else s for i, s in held.items()})
            elif isinstance(held, (dict, list)):
                setattr(twin, name, copy.copy(held))
        new.layers.append(twin)
    return new


def _tensors(layer: Any) -> list[Tensor]:
    held = [vars(layer).get(name) for name in _STATES]
    flat = [s for one in held for s in (one.values() if isinstance(one, dict) else [one])]
    return [s for s in flat if torch.is_tensor(s)]
