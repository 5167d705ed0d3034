"""Colour and dash of every eviction method on a chart."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from analysis.drawing.theme import OKABE_ITO

_SOLID, _DASHED, _DOTTED, _MIXED = [1, 0], [6, 3], [2, 2], [8, 3, 2, 3]
_BLUE, _ORANGE, _GREEN, _PURPLE, _SKY, _RED, _, _GREY = OKABE_ITO
STYLES: dict[str, tuple[str, list[int]]] = {
    "full": (_BLUE, _SOLID),
    "random": (_GREY, _SOLID),
    "window": (_RED, _DOTTED),
    "streaming": (_GREEN, _DASHED),
    "knorm": (_ORANGE, _SOLID),
    "keydiff": (_ORANGE, _DASHED),
    "h2o": (_PURPLE, _SOLID),
    "a2sf": (_PURPLE, _DASHED),
    "observed": (_PURPLE, _DOTTED),
    "snapkv": (_RED, _SOLID),
    "pyramidkv": (_RED, _DASHED),
    "tova": (_GREEN, _SOLID),
    "expected": (_SKY, _SOLID),
    "streaming-moved": (_GREEN, _MIXED),
    "keyformer": (_PURPLE, _MIXED),
    "adakv": (_RED, _MIXED),
    "criticalkv": (_ORANGE, _DOTTED),
    "chunks": (_ORANGE, _MIXED),
    "ems-like": (_SKY, _DOTTED),
    "sirllm": (_SKY, _DASHED),
    "sirllm-released": (_SKY, _MIXED),
    "tokenselect": (_BLUE, _DASHED),
    "bypass": (_BLUE, _DOTTED),
}
"""Settled colours and dashes by the name of a method, the same on every chart; others come from the palette."""
_PALETTE = [
    (colour, dash)
    for dash in (_SOLID, _DASHED, _DOTTED, _MIXED)
    for colour in (_BLUE, _ORANGE, _GREEN, _PURPLE, _SKY, _RED, _GREY)
]


def styles_of(names: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Colour and dash of methods that are drawn together, all different while the palette lasts.

    A method without a settled style starts to search the palette at a place that its name decides, so it looks alike
    on most charts.
    """
    taken = [STYLES[name] for name in names if name in STYLES]
    found = []
    for name in names:
        style = STYLES.get(name)
        if style is None:
            begin = zlib.crc32(name.encode()) % len(_PALETTE)
            places = _PALETTE[begin:] + _PALETTE[:begin]
            style = next((one for one in places if one not in taken), places[0])
            taken.append(style)
        found.append(style)
    return found
