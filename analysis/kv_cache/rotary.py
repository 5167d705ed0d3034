"""Rotary positions: how a model turns its queries and keys, found by a probe, and undone.

Families lay the rotated pairs out differently. The keys of the first layer depend on the token and
its position alone, so for one token repeated they must all be the same once the turn is undone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

Layout = Literal["halves", "pairs", "split"]
"""Which channels turn together: i and i + d/2, or 2i and 2i + 1; "split" is halves with tables of half the width."""
_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Rotation:
    """The turn of one layer's queries and keys at every position of a text."""

    cos: Tensor
    """float32, (T, r): r rotated channels, at most the head's width."""
    sin: Tensor
    layout: Layout
    at: Callable[[Tensor], tuple[Tensor, Tensor]] = field(repr=False)
    """The model's own cosines and sines at any positions, int64 (P,) to twice (P, r)."""

    def turn(self, states: Tensor, *, back: bool = False) -> Tensor:
        """Turn states of shape (..., T, d) to their positions, or back to position 0, in float32."""
        if back:
            return self._undone(states, self.cos, self.sin)
        return turned(states, self.cos, self.sin, self.layout)

    def move(self, states: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """Turn states of shape (..., T, d) from their positions to others; both (T,) or (..., T)."""
        (cos, sin), (to_cos, to_sin) = (
            [table.view(*places.shape, -1).to(states.device) for table in self.at(places.flatten())]
            for places in (start, end)
        )
        return turned(self._undone(states, cos, sin), to_cos, to_sin, self.layout)

    def _undone(self, states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """States before they were turned. Some tables also stretch (YaRN); that is undone as well."""
        stretch = float(self.cos[0].square().add(self.sin[0].square()).mean())
        if abs(stretch - 1) > _TOLERANCE:
            cos, sin = cos / stretch, sin / stretch
        return turned(states, cos, -sin, self.layout)


def turned(states: Tensor, cos: Tensor, sin: Tensor, layout: Layout) -> Tensor:
    """Rotate the first channels of states by angles given as cosines and sines."""
    if layout == "split":
        cos, sin = torch.cat([cos, cos], -1), torch.cat([sin, sin], -1)
    width = cos.shape[-1]
    x, rest = states[..., :width].float(), states[..., width:].float()
    if layout != "pairs":
        first, second = x.chunk(2, -1)
        quarter = torch.cat([-second, first], -1)
    else:
        quarter = torch.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2)
    return torch.cat([x * cos + quarter * sin, rest], -1)


def layout_of(keys: Tensor, cos: Tensor, sin: Tensor) -> Layout | None:
    """Layout under which the keys of one repeated token become equal.

    Parameters
    ----------
    keys : Tensor, shape (G, T, d)
        Of the first layer, the same token at every position.
    cos, sin : Tensor, shape (T, r)
        The model's tables at these positions.

    Returns
    -------
    str or None
        None if neither does it.
    """
    scale = keys.float().abs().max()
    layouts: tuple[Layout, ...] = ("halves", "pairs", "split")
    for layout in layouts:
        if layout == "split" and 2 * cos.shape[-1] > keys.shape[-1]:
            continue
        still = turned(keys, cos, -sin, layout)
        if (still - still[:, :1]).abs().max() <= _TOLERANCE * scale * float(cos[0].max()) ** 2:
            return layout
    return None
