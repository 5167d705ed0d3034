"""Cover of circles, squares, triangles, crosses and rings in a box of whole pixels."""

from __future__ import annotations

from functools import cache

import numpy as np

_FINE = 4
"""Samples along each side of a pixel."""


@cache
def outline(shape: str, side: int) -> np.ndarray:
    """Cover of one shape.

    Parameters
    ----------
    shape : str
        A key of :data:`~analysis.visual_tokens.scenes.words.SHAPES`.
    side : int
        Pixels of the box that it fills.

    Returns
    -------
    numpy.ndarray
        (side, side) of int32 from 0 (outside) to 256 (covered), from 16 samples a pixel and whole numbers only.
    """
    n = _FINE * side
    at = np.arange(1 - n, n, 2, dtype=np.int32)  # odd numbers: middles of the samples, in half samples
    x, y = np.abs(at)[None, :], at[:, None]
    far = x * x + y * y
    inside = {
        "circle": far <= n * n,
        "square": (10 * x <= 9 * n) & (10 * np.abs(y) <= 9 * n),
        "triangle": 2 * x <= y + n,
        "cross": (3 * x <= n) | (3 * np.abs(y) <= n),
        "ring": (far <= n * n) & (4 * far >= n * n),
    }[shape]
    cover = inside.reshape(side, _FINE, side, _FINE).sum((1, 3), dtype=np.int32) * 256 // _FINE**2
    cover.flags.writeable = False
    return cover
