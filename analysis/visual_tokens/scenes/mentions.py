"""Which items a question names, and by which of its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.visual_tokens.scenes.plan import Item
from analysis.visual_tokens.scenes.words import COLOURS, SHAPES, SIZES

_NAMING = {*COLOURS, *SHAPES, *SIZES, "thing", "digit", "number", "word"}


def mentions(text: str, items: Sequence[Item]) -> Iterator[tuple[int, Item]]:
    """Find what a question names: "the" and words that fit one item alone.

    Parameters
    ----------
    text : str
        A question of a scene.
    items : sequence of Item
        Those of the scene.

    Yields
    ------
    int
        Number of the last of the words, counted from 0.
    Item
        What they name.
    """
    words = text.removesuffix("?").split()
    for start, word in enumerate(words):
        if word != "the":
            continue
        end = start + 1
        while end < len(words) and words[end] in _NAMING:
            end += 1
        fitting = [t for t in items if all(_fits(w, t) for w in words[start + 1 : end])]
        if len(fitting) == 1:
            yield end - 1, fitting[0]


def _fits(word: str, item: Item) -> bool:
    """Whether a word can be said of an item; "thing" only of a shape."""
    is_shape = item.kind == "shape"
    return word in ((item.colour, item.name, item.size) if is_shape else (item.kind,)) or (
        word == "thing" and is_shape
    )
