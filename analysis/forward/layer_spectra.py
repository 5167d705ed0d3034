"""The spectrum of every layer's states, taken while the layers run.

Each layer is reduced to its eigenvalues and forgotten. On the CPU that happens in two threads
beside the pass, with at most two layers waiting; on CUDA on the device, some layers at a time.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np
from threadpoolctl import threadpool_limits
from torch import Tensor

from analysis.forward.device_spectra import DeviceSpectra
from analysis.forward.single_spectra import shares_with_and_without_first
from analysis.results.spectra import turning_angles

Kind = Literal["states", "query", "key", "value"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""States between the blocks, and what each block's attention compares and mixes."""

LARGEST_SIDE = 2048
"""Unless asked for, spectra are not taken where the smaller of tokens and width is larger than this."""
WAITING = 2
"""Layers being reduced or waiting for it."""


class Spectra:
    """Takes the states of every layer and keeps their spectra, with and without token 0.

    Parameters
    ----------
    kinds : tuple of str
        Of :data:`KINDS`.
    n_layers : int
        Number of blocks L.
    """

    def __init__(self, kinds: tuple[Kind, ...], n_layers: int) -> None:
        self.kinds = kinds
        self.n_layers = n_layers
        self.n_attention = n_layers
        """Layers that have queries, keys and values."""
        self.shares: dict[Kind, np.ndarray] = {}
        """float64, (2, layers, min(T, d)): all tokens, then without token 0."""
        self.cpu_seconds = 0.0
        """Spent on reductions by threads of their own."""
        self.curvature = np.full((2, n_layers + 1), np.nan)
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: list[Future[None]] = []
        self._device = DeviceSpectra(self._store)

    @contextmanager
    def collecting(self) -> Iterator[Spectra]:
        """Compute beside the pass; leaving waits for the last layer."""
        # numpy's linear algebra keeps to one thread per layer; torch's is its own
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(2, "spectra", initializer=_stand_back) as pool:
            self._pool = pool
            try:
                yield self
                self._settle(0)
            finally:
                self._device.clear()
                self._pool = None
                for future in self._waiting:
                    future.cancel()
                self._waiting.clear()

    def take(self, kind: Kind, layer: int, states: Tensor) -> None:
        """Reduce the states of one layer, shape (T, d), if their kind is wanted."""
        if kind not in self.kinds:
            return
        rows, width = states.shape
        if kind not in self.shares:
            layers = self.n_layers + 1 if kind == "states" else self.n_attention
            self.shares[kind] = np.zeros((2, layers, min(rows, width)))
        if states.is_cuda:
            self._device.take(kind, layer, states)
            return
        self._settle(WAITING)
        values = states.float().cpu().numpy().copy()  # the model may write over what it handed out
        assert self._pool is not None
        self._waiting.append(self._pool.submit(self._reduce, kind, layer, values))

    def forget_attention(self) -> None:
        """Drop what was taken of queries, keys and values: their attention turned out not to be measured."""
        self._settle(0)
        self.kinds = tuple(kind for kind in self.kinds if kind == "states")
        self.shares = {kind: shares for kind, shares in self.shares.items() if kind == "states"}

    def _settle(self, most: int) -> None:
        """Wait until no more than so many reductions are under way."""
        while len(self._waiting) > most:
            self._waiting.pop(0).result()
        if not most:
            self._device.settle()

    def _reduce(self, kind: Kind, layer: int, values: np.ndarray) -> None:
        started = time.thread_time()
        bends = _mean_angles(values) if kind == "states" else None
        self._store(kind, layer, shares_with_and_without_first(values), bends)
        self.cpu_seconds += time.thread_time() - started

    def _store(
        self, kind: Kind, layer: int, shares: tuple[np.ndarray, np.ndarray], curvature: np.ndarray | None
    ) -> None:
        for variant, found in enumerate(shares):
            self.shares[kind][variant, layer, : len(found)] = found
            if np.isnan(found).any():
                self.shares[kind][variant, layer] = np.nan
        if curvature is not None:
            self.curvature[:, layer] = curvature


def _mean_angles(values: np.ndarray) -> np.ndarray:
    """Curvature of a layer's path through all tokens, and without token 0, shape (2,)."""
    found = np.full(2, np.nan)
    if np.isfinite(values).all():
        angles = turning_angles(values)
        for variant in (0, 1):
            known = angles[variant:]
            known = known[~np.isnan(known)]  # a token repeated right away makes no step at layer 0
            if len(known):
                found[variant] = known.mean()
    return found


def _stand_back() -> None:
    """Let the pass go first where the system can tell threads apart."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, 0, 10)
