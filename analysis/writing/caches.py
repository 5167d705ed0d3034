"""Caches of what was written, bounded in bytes but for the newest; they go with their model. The texts are elsewhere."""

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
    """Streams of one row or more, the newest last; found by the tokens they have read."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self.limit = limit
        self.kept: list[Stream] = []

    @property
    def held(self) -> int:
        """Bytes of all of them."""
        return sum(stream.n_bytes for stream in self.kept)

    def keep(self, stream: Stream) -> None:
        """Keep a stream that nobody reads on with; what is too much goes, the oldest first, but not the newest."""
        if stream.kind.name == "none":
            return
        if stream.kind.name == "shared":  # whatever it is the beginning of serves as well
            self.kept = [one for one in self.kept if _same(one.ids, stream.ids).amax(1).min() < len(one)]
        self.kept.append(stream)
        while len(self.kept) > 1 and self.held > self.limit:
            del self.kept[0]

    def beginning(self, kind: CacheKind, ids: Tensor) -> Stream | None:
        """A stream of its own that has read as many of the tokens of all rows, (B, n), as any; None where none has.

        One that has read all of them is handed over: whoever reads on with it keeps it again.
        """
        best, rows, n_best = None, [0], 0
        for stream in self.kept:
            same = _same(stream.ids, ids)
            n = int(same.amax(0).min())
            if n > n_best and (kind.name == "shared" or n == len(stream)):
                best, rows, n_best = stream, same.argmax(0).tolist(), n
        if best is None:
            return None
        self.kept.remove(best)
        whole = kind.name == "shared" and rows == list(range(len(best.ids)))
        if not (whole and n_best == len(best)):
            self.kept.append(best)  # the newest by use
        begun = best.cut(n_best) if kind.name == "shared" else best
        return begun if whole else begun.rows(rows)


def _same(some: Tensor, others: Tensor) -> Tensor:
    """How many of the first tokens of every one of some texts, (R, m), are those of others, (B, n); (R, B)."""
    n = min(some.shape[1], others.shape[1])
    return (some[:, None, :n] == others[:, :n]).cumprod(-1, dtype=torch.uint8).sum(-1)


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
        return CacheMemory(own.held, own.limit, sum(len(stream.ids) for stream in own.kept))


def stream_of(
    model: LanguageModel, paths: np.ndarray, on_layer: Callable[[int], None] | None = None
) -> tuple[Stream, Tensor | None]:
    """A stream that has read paths of one length, with as little reading as the caches allow.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    paths : numpy.ndarray, int64, shape (B, n)
        Ids.
    on_layer : callable, optional
        As for :meth:`Stream.read`.

    Returns
    -------
    tuple
        The stream, and what the head got after the last tokens, (B, D), if they had to be read.
    """
    kind, ids = cache_kind(model), torch.from_numpy(paths)
    if kind.name == "none":
        stream = Stream(model, kind)
        stream.ids = ids
        return stream, None
    n_rows, n = ids.shape
    stream = caches(model).beginning(kind, ids) or Stream(model, kind, n_rows)
    if kind.name == "copied" and _STEP * (n - len(stream)) > n:
        stream = Stream(model, kind, n_rows)  # one pass over all is faster than a step for each of the rest
    rest = ids[:, len(stream) :]
    state = stream.read(rest, on_layer)[:, -1] if rest.shape[1] else None
    return stream, state
