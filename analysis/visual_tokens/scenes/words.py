"""Every word of the pictures and of the questions: the whole language of the shipped model."""

from __future__ import annotations

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 46, 46),
    "green": (44, 166, 74),
    "blue": (54, 92, 222),
    "yellow": (232, 206, 52),
    "purple": (152, 66, 192),
    "orange": (238, 134, 38),
}
"""Name and 8-bit red, green, blue."""

SHAPES = {
    "circle": "circles",
    "square": "squares",
    "triangle": "triangles",
    "cross": "crosses",
    "ring": "rings",
}
"""One and many."""

SIZES: dict[str, tuple[int, int]] = {"small": (7, 9), "medium": (11, 13), "large": (16, 19)}
"""Name and its sides in pixels, from and to."""

WRITTEN = (
    *("cat", "car", "dog", "dot", "sun", "son", "map", "man", "hat", "hot", "tree", "free"),
    *("book", "boat", "lamp", "land", "fish", "fire", "moon", "room", "star", "stop", "wind", "wine"),
)
"""Words that stand in pictures: many differ in one letter."""

LETTERS = "".join(sorted(set("".join(WRITTEN))))

DIRECTIONS = ("left", "right", "above", "below")

KINDS = ("count", "leading", "attribute", "relation", "reading", "absence")
"""Kinds of questions, from those that need the whole picture to those that need one place, and what is not there."""

OTHER_WORDS = (
    *("how", "many", "shapes", "which", "colour", "leads", "what", "shape", "size", "is", "the", "thing"),
    *("where", "seen", "from", "nearest", "to", "shown", "there", "any", "missing"),
    *("digit", "number", "word", "yes", "no", "none"),
)


def vocabulary() -> tuple[str, ...]:
    """Words of all questions and answers, each once; digits and the question mark are not among them."""
    words = (*OTHER_WORDS, *COLOURS, *SHAPES, *SHAPES.values(), *SIZES, *DIRECTIONS, *WRITTEN)
    return tuple(dict.fromkeys(words))
