"""A scene as pixels, and which item each patch of it shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.visual_tokens.scenes.font import glyph, width_of
from analysis.visual_tokens.scenes.outlines import outline
from analysis.visual_tokens.scenes.plan import SIDE, Item
from analysis.visual_tokens.scenes.words import COLOURS, LETTERS, SHAPES, SIZES

PATCH = 8
"""Pixels of a patch on each side: the grid of the shipped model."""

LABELS = {
    "colour": (*COLOURS, "white", "black"),
    "shape": tuple(SHAPES),
    "size": tuple(SIZES),
    "digit": tuple("0123456789"),
    "letter": tuple(LETTERS),
}
"""What can be said about a patch. Class 0 of each is "nothing of the kind", class i + 1 the name at i."""

_LEAST = 5 * 256
"""A patch shows what covers at least five of its pixels."""

_AT = np.arange(SIDE) // PATCH
_PATCHES = _AT[:, None] * (SIDE // PATCH) + _AT[None, :]
_NUMBER = {label: {name: i + 1 for i, name in enumerate(names)} for label, names in LABELS.items()}


@dataclass(frozen=True, slots=True)
class Mark:
    """One shape or one character on the picture: where, its cover (0 to 256), and the classes of its labels."""

    x: int
    y: int
    cover: np.ndarray
    rgb: tuple[int, int, int]
    classes: tuple[int, ...]


def marks(items: Sequence[Item]) -> Iterator[Mark]:
    """Split items into what is drawn: a number and a word are several characters."""
    for item in items:
        colour = _NUMBER["colour"][item.colour]
        if item.kind == "shape":
            classes = (colour, _NUMBER["shape"][item.name], _NUMBER["size"][item.size], 0, 0)
            yield Mark(item.x, item.y, outline(item.name, item.width), item.rgb, classes)
            continue
        for i, character in enumerate(item.name):
            x = item.x + i * (width_of(item.height) + 1)
            classes = (
                *(colour, 0, 0),
                *(_NUMBER["digit"].get(character, 0), _NUMBER["letter"].get(character, 0)),
            )
            yield Mark(x, item.y, glyph(character, item.height), item.rgb, classes)


def paint(ground: np.ndarray, items: Sequence[Item], grain: np.ndarray) -> np.ndarray:
    """Draw items on a background, with a little noise over everything.

    Parameters
    ----------
    ground : numpy.ndarray
        (96, 96, 3) of int32; painted over.
    items : sequence of Item
    grain : numpy.ndarray
        (96, 96) of int32, 0 to 255.

    Returns
    -------
    numpy.ndarray
        (96, 96, 3) of uint8.
    """
    for mark in marks(items):
        height, width = mark.cover.shape
        region = ground[mark.y : mark.y + height, mark.x : mark.x + width]
        region += ((np.array(mark.rgb, np.int32) - region) * mark.cover[..., None]) >> 8
    return (ground + ((grain - 128) // 16)[..., None]).clip(0, 255).astype(np.uint8)


def patch_labels(items: Sequence[Item]) -> np.ndarray:
    """Say what each patch shows.

    Returns
    -------
    numpy.ndarray
        (5, 144) of int64: classes of :data:`LABELS` in their order, patches row by row. A patch belongs to
        the mark that covers most of it, if that covers five pixels of it; 0 elsewhere.
    """
    drawn = list(marks(items))
    side = SIDE // PATCH
    share = np.zeros((len(drawn) + 1, side * side))
    share[0] = _LEAST - 1
    for i, mark in enumerate(drawn, 1):
        height, width = mark.cover.shape
        at = _PATCHES[mark.y : mark.y + height, mark.x : mark.x + width]
        share[i] = np.bincount(at.ravel(), mark.cover.ravel(), side * side)
    classes = np.array([(0,) * len(LABELS), *(mark.classes for mark in drawn)])
    return classes[share.argmax(0)].T
