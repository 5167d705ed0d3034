"""Digits and letters of 5 x 7 dots, drawn at any height: pictures must not depend on the fonts of a machine."""

from __future__ import annotations

from functools import cache

import numpy as np

GLYPHS = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    "a": "01110 10001 10001 11111 10001 10001 10001",
    "b": "11110 10001 10001 11110 10001 10001 11110",
    "c": "01110 10001 10000 10000 10000 10001 01110",
    "d": "11110 10001 10001 10001 10001 10001 11110",
    "e": "11111 10000 10000 11110 10000 10000 11111",
    "f": "11111 10000 10000 11110 10000 10000 10000",
    "g": "01110 10001 10000 10111 10001 10001 01111",
    "h": "10001 10001 10001 11111 10001 10001 10001",
    "i": "01110 00100 00100 00100 00100 00100 01110",
    "k": "10001 10010 10100 11000 10100 10010 10001",
    "l": "10000 10000 10000 10000 10000 10000 11111",
    "m": "10001 11011 10101 10101 10001 10001 10001",
    "n": "10001 11001 10101 10011 10001 10001 10001",
    "o": "01110 10001 10001 10001 10001 10001 01110",
    "p": "11110 10001 10001 11110 10000 10000 10000",
    "r": "11110 10001 10001 11110 10100 10010 10001",
    "s": "01111 10000 10000 01110 00001 00001 11110",
    "t": "11111 00100 00100 00100 00100 00100 00100",
    "u": "10001 10001 10001 10001 10001 10001 01110",
    "w": "10001 10001 10001 10101 10101 11011 10001",
}
"""Rows from top to bottom; letters are capitals."""

ROWS, COLUMNS = 7, 5


def width_of(height: int) -> int:
    """Width in pixels of one character of this height."""
    return (COLUMNS * height + ROWS // 2) // ROWS


@cache
def glyph(character: str, height: int) -> np.ndarray:
    """Cover of one character.

    Parameters
    ----------
    character : str
        A digit or a small letter of :data:`GLYPHS`.
    height : int
        Pixels, from 7 on.

    Returns
    -------
    numpy.ndarray
        (height, :func:`width_of`) of int32 from 0 (outside) to 256 (covered): the share of each pixel that
        the dots cover, by whole-number arithmetic.
    """
    dots = np.array([[int(d) for d in row] for row in GLYPHS[character].split()], np.int32)
    width = width_of(height)
    fine = dots.repeat(height, 0).repeat(width, 1)
    cover = fine.reshape(height, ROWS, width, COLUMNS).sum((1, 3)) * 256 // (ROWS * COLUMNS)
    cover.flags.writeable = False
    return cover
