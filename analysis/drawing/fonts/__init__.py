"""The fonts of files for print, shipped so that a file is the same on every machine: DejaVu 2.37, its terms beside it."""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path
from typing import Literal

Family = Literal["DejaVu Sans", "DejaVu Sans Mono"]

FOLDER = Path(__file__).resolve().parent
SANS: Family = "DejaVu Sans"
MONO: Family = "DejaVu Sans Mono"


def width_of(text: str, size: float, family: Family = SANS) -> float:
    """Width of a text on one line, in the unit of ``size``.

    Parameters
    ----------
    text : str
        What is written; a character that the font lacks counts as its box for missing ones.
    size : float
        Size of the type.
    family : {"DejaVu Sans", "DejaVu Sans Mono"}
        The font.

    Notes
    -----
    Sum of the advances of the font's ``hmtx`` table over the glyphs that its ``cmap`` table (format 12) names,
    without kerning (OpenType 1.9, "hmtx", "cmap").
    """
    units, advances, glyphs = _metrics(family)
    return size * sum(advances[min(glyphs.get(ord(char), 0), len(advances) - 1)] for char in text) / units


@lru_cache(maxsize=2)
def _metrics(family: Family) -> tuple[int, tuple[int, ...], dict[int, int]]:
    """Units of an em, the advance of each glyph, and the glyph of each code point."""
    data = (FOLDER / f"{family.replace(' ', '')}.ttf").read_bytes()
    entries = struct.iter_unpack(">4sIII", data[12 : 12 + 16 * struct.unpack_from(">H", data, 4)[0]])
    tables = {name: data[at : at + length] for name, _, at, length in entries}
    (units,) = struct.unpack_from(">H", tables[b"head"], 18)
    (count,) = struct.unpack_from(">H", tables[b"hhea"], 34)
    advances = tuple(advance for advance, _ in struct.iter_unpack(">HH", tables[b"hmtx"][: 4 * count]))
    return units, advances, _glyphs(tables[b"cmap"])


def _glyphs(cmap: bytes) -> dict[int, int]:
    """Glyph of each code point, of the subtable that knows all of Unicode."""
    (count,) = struct.unpack_from(">H", cmap, 2)
    offsets = [struct.unpack_from(">HHI", cmap, 4 + 8 * k)[2] for k in range(count)]
    (whole,) = {at for at in offsets if struct.unpack_from(">H", cmap, at)[0] == 12}
    (groups,) = struct.unpack_from(">I", cmap, whole + 12)
    ranges = struct.iter_unpack(">III", cmap[whole + 16 : whole + 16 + 12 * groups])
    return {code: glyph + code - first for first, last, glyph in ranges for code in range(first, last + 1)}
