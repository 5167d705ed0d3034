"""Spectra of layers whose states are on a CUDA device, some layers at a time.

A decomposition waits for the device, so layers are kept there until they fill a store and are then decomposed
together: the pass between is not waited for. Everything on the device is float32, as float64 is up to 64 times
slower there; what needs float64 goes to the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.forward.single_spectra import shares_of
from analysis.results.spectra import eigenvalue_shares

if TYPE_CHECKING:
    from analysis.forward.layer_spectra import Kind

STORE_BYTES = 256 << 20
"""Size of the states and products that wait on the device."""

Store = Callable[["Kind", int, tuple[np.ndarray, np.ndarray], np.ndarray | None], None]
"""``store(kind, layer, shares, curvature)``: shares with and without token 0, (2,) mean angles of states."""


class DeviceSpectra:
    """Layers that wait on the device.

    Parameters
    ----------
    store : callable
        Takes what was found of each layer, one call a layer.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._waiting: list[tuple[Kind, int, Tensor]] = []
        self._bytes = 0

    def take(self, kind: Kind, layer: int, states: Tensor) -> None:
        """Keep a copy of the states of one layer, (T, D); the model may write over what it handed out."""
        side = min(states.shape)
        self._waiting.append((kind, layer, states.clone()))
        self._bytes += states.numel() * states.element_size() + 8 * side**2
        if self._bytes > STORE_BYTES:
            self.settle()

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting, self._bytes = [], 0

    def settle(self) -> None:
        """Reduce what waits and hand it on."""
        together: dict[tuple[Kind, torch.device], list[tuple[int, Tensor]]] = {}
        for kind, layer, states in self._waiting:
            together.setdefault((kind, states.device), []).append((layer, states))
        for (kind, _), layers in together.items():
            self._reduce(kind, layers)
        self.clear()

    def _reduce(self, kind: Kind, layers: list[tuple[int, Tensor]]) -> None:
        with_first, without = (_shares([states[first:] for _, states in layers]) for first in (0, 1))
        curvatures: list[np.ndarray | None] = [None] * len(layers)
        if kind == "states":
            curvatures = [*torch.stack([mean_angles(states) for _, states in layers]).double().cpu().numpy()]
        for (layer, _), *pair, curvature in zip(layers, with_first, without, curvatures, strict=True):
            self.store(kind, layer, (pair[0], pair[1]), curvature)


def _shares(layers: list[Tensor]) -> list[np.ndarray]:
    """Eigenvalue shares of layers of one shape, decomposed together."""
    grams = torch.stack([products(states) for states in layers])
    finite = torch.isfinite(grams).all(-1).all(-1)
    rising = torch.linalg.eigvalsh(grams.where(finite[:, None, None], 0)).cpu().numpy()
    n, width = layers[0].shape
    found = []
    for states, is_finite, values in zip(layers, finite.cpu().numpy(), rising, strict=True):
        shares = shares_of(values, min(n - 1, width)) if is_finite else np.full(len(values), np.nan)
        found.append(eigenvalue_shares(states.float().cpu().numpy()) if shares is None else shares)
    return found


def products(states: Tensor) -> Tensor:
    """Products of centred and normalised rows, or of directions where these are fewer, float32.

    Notes
    -----
    The mean is taken away twice: the second time it is what rounding left of it the first time.
    """
    rows = states.float()
    for _ in range(2):
        rows = rows - rows.mean(0)
    norm = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    rows = rows / norm.where(norm != 0, 1)
    return rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows


def mean_angles(states: Tensor) -> Tensor:
    """Mean angle between each step along the text and the next, of all tokens and without token 0, shape (2,).

    Notes
    -----
    As :func:`analysis.results.spectra.turning_angles`; the angle of unit vectors a and b is
    2 atan2(|a - b|, |a + b|), which keeps in float32 the digits that the arc cosine loses near 0 and pi.
    """
    steps = states.float().diff(dim=0)
    norm = torch.linalg.vector_norm(steps, dim=-1, keepdim=True)
    steps = steps / norm.where(norm != 0, 1)
    apart, along = (steps[1:] - steps[:-1]).norm(dim=-1), (steps[1:] + steps[:-1]).norm(dim=-1)
    angles, known = 2 * torch.atan2(apart, along), ((norm[1:] != 0) & (norm[:-1] != 0))[:, 0]
    angles = angles.where(known, 0)
    return torch.stack([angles[first:].sum() / known[first:].sum() for first in (0, 1)])
