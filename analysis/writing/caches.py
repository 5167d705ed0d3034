"""Caches of what was written, bounded in bytes; they belong to a model and go with it. The texts are elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.kv_cache.stream import CacheKind, Stream, cache_kind
from analysis.models.loading import LanguageModel

LIMIT_BYTES = 1 << 30
"""What the caches of one model may take together."""
_STEP = 16
"""Tokens that one pass reads in the time of one step, about: weights are fetched once for all of them."""


@dataclass(frozen=True)
class CacheMemory:
    """What is kept of the branches of one model."""

    held: int
    """Bytes."""
    limit: int
    """Bytes."""
    count: int
    """Branches that have a cache; the others are read again when something leaves them."""


class Caches:
    """Streams of one row each, the newest last; found by the tokens they have read."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self.limit = limit
        self.kept: list[Stream] = []

    @property
    def held(self) -> int:
        """Bytes of all of them."""
        return sum(stream.n_bytes for stream in self.kept)

    def keep(self, stream: Stream) -> None:
        """Keep a stream of one row that nobody reads on with; what is too much goes, the oldest first."""
        if stream.kind.name == "none":
            return
        if stream.kind.name == "shared":  # whatever it is the beginning of serves as well
            self.kept = [one for one in self.kept if _common(one, stream.ids[0]) < len(one)]
        self.kept.append(stream)
        while self.kept and self.held > self.limit:
            del self.kept[0]

    def beginning(self, kind: CacheKind, ids: Tensor) -> Stream | None:
        """A stream of its own that has read as many of these tokens, (n,), as any; None where none has."""
        best, n_best = None, 0
        for stream in self.kept:
            n = _common(stream, ids)
            if n > n_best and (kind.name == "shared" or n == len(stream)):
                best, n_best = stream, n
        if best is None:
            return None
        self.kept.remove(best)
        self.kept.append(best)  # the newest by use
        return best.cut(n_best) if kind.name == "shared" else best.rows([0])


def _common(stream: Stream, ids: Tensor) -> int:
    """How many of the first tokens are the same."""
    n = min(len(stream), len(ids))
    differs = (stream.ids[0, :n] != ids[:n]).nonzero()
    return int(differs[0]) if len(differs) else n


def caches(model: LanguageModel) -> Caches:
    """Those of a model. Its lock is held by the caller."""
    if Caches not in model.found:
        model.found[Caches] = Caches()
    found: Caches = model.found[Caches]
    return found


def cache_memory(model: LanguageModel) -> CacheMemory:
    """What the caches of a model's branches take."""
    with model.lock:
        own = caches(model)
        return CacheMemory(own.held, own.limit, len(own.kept))


def stream_of(
    model: LanguageModel, path: np.ndarray, on_layer: Callable[[int], None] | None = None
) -> tuple[Stream, Tensor | None]:
    """A stream that has read a path, with as little reading as the caches allow.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    path : numpy.ndarray, int64, shape (n,)
        Ids.
    on_layer : callable, optional
        As for :meth:`Stream.read`.

    Returns
    -------
    tuple
        The stream, and what the head got after the last token, (1, D), if it had to be read.
    """
    kind, ids = cache_kind(model), torch.from_numpy(path)
    if kind.name == "none":
        stream = Stream(model, kind)
        stream.ids = ids[None]
        return stream, None
    stream = caches(model).beginning(kind, ids) or Stream(model, kind)
    if kind.name == "copied" and _STEP * (len(ids) - len(stream)) > len(ids):
        stream = Stream(model, kind)  # one pass over all is faster than a step for each of the rest
    rest = ids[None, len(stream) :]
    state = stream.read(rest, on_layer)[:, -1] if rest.shape[1] else None
    return stream, state
