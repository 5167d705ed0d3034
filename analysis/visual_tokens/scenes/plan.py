"""What stands where in a scene: shapes, a digit, a number and a word, none on another."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.visual_tokens.scenes.dice import Dice
from analysis.visual_tokens.scenes.font import width_of
from analysis.visual_tokens.scenes.words import COLOURS, SHAPES, SIZES, WRITTEN

SIDE = 96
"""Pixels of a scene on each side."""

_GAP = 2
_TRIES = 40
_SHADE = 14
"""Largest change of each of red, green and blue from a colour's own."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item in a scene.

    Parameters
    ----------
    kind : str
        "shape", "digit", "number" or "word".
    name : str
        The shape's name, or what is written.
    colour : str
        A key of ``COLOURS``; for writing also "white" or "black".
    size : str
        A key of ``SIZES``; "" for writing.
    x, y, width, height : int
        Its box in pixels, from the upper left corner.
    rgb : tuple of int
        The colour it is drawn in, 0 to 255.
    """

    kind: str
    name: str
    colour: str
    size: str
    x: int
    y: int
    width: int
    height: int
    rgb: tuple[int, int, int]

    @property
    def middle(self) -> tuple[int, int]:
        """Middle of the box in half pixels, so that it is whole."""
        return 2 * self.x + self.width, 2 * self.y + self.height


def plan_items(dice: Dice, dark: bool) -> tuple[Item, ...]:
    """Draw what stands where.

    Parameters
    ----------
    dice : Dice
    dark : bool
        Whether the background is dark: writing without a colour is white there, else black.

    Returns
    -------
    tuple of Item
        Writing first, then shapes from large to small. An item that finds no place after 40 tries is left
        out, so crowded scenes hold fewer.
    """
    items: list[Item] = []
    _write(dice, items, dark)
    wanted = _shapes(dice)
    if len(wanted) > 1 and dice.chance(0.4):
        _pair(dice, items, wanted.pop(), wanted.pop())
    sides = [(dice.between(*SIZES[size]), name, colour, size) for name, colour, size in wanted]
    for side, name, colour, size in sorted(sides, key=lambda s: -s[0]):
        _put(dice, items, ("shape", name, colour, size), (side, side))
    return tuple(items)


def _shapes(dice: Dice) -> list[tuple[str, str, str]]:
    """Name, colour and size of the shapes: one colour is there 1 to 7 times, 0 to 4 others or all colours but one follow."""
    order = dice.shuffled(tuple(COLOURS))
    leading = dice.between(1, 7)
    if dice.chance(0.3):
        colours = order[: dice.between(5, 6)] + [order[0]] * (min(leading, 4) - 1)
    else:
        palette = order[1 : 2 + dice.between(1, 3)]
        colours = [order[0]] * leading + [
            dice.pick(palette) for _ in range(dice.between(2 if leading < 3 else 0, 4))
        ]
    usual = dice.pick(tuple(SHAPES))
    share = dice.pick((0.0, 0.0, 0.3, 0.6))
    sizes = ("small", "small", "small", "medium", "medium", "large" if len(colours) < 9 else "small")
    return [
        (usual if dice.chance(share) else dice.pick(tuple(SHAPES)), colour, dice.pick(sizes))
        for colour in dice.shuffled(colours)
    ]


def _write(dice: Dice, items: list[Item], dark: bool) -> None:
    """A word, a two-digit number and a digit, each in about half of the scenes; a third of them in a shape's colour."""
    for kind, share in (("word", 0.5), ("number", 0.5), ("digit", 0.55)):
        if not dice.chance(share):
            continue
        colour = dice.pick(tuple(COLOURS)) if dice.chance(0.34) else ("white" if dark else "black")
        height = dice.between(7, 8) if kind == "word" else dice.between(8, 10)
        text = {
            "word": dice.pick(WRITTEN),
            "number": str(dice.between(10, 99)),
            "digit": str(dice.below(10)),
        }[kind]
        _put(dice, items, (kind, text, colour, ""), (len(text) * (width_of(height) + 1) - 1, height))


def _pair(dice: Dice, items: list[Item], first: tuple[str, str, str], second: tuple[str, str, str]) -> None:
    """Two small shapes whose middles are about one patch of 8 pixels apart, side by side or one above the other."""
    side, gap = dice.between(*SIZES["small"]), dice.between(1, 2)
    long = 2 * side + gap
    across = dice.chance(0.5)
    place = _place(dice, items, long if across else side, side if across else long)
    if place is None:
        return
    for (name, colour, _), step in ((first, 0), (second, side + gap)):
        x, y = place[0] + step * across, place[1] + step * (not across)
        items.append(Item("shape", name, colour, "small", x, y, side, side, _shade(dice, colour)))


def _put(dice: Dice, items: list[Item], what: tuple[str, str, str, str], extent: tuple[int, int]) -> None:
    place = _place(dice, items, *extent)
    if place is not None:
        items.append(Item(*what, *place, *extent, _shade(dice, what[2])))


def _place(dice: Dice, items: list[Item], width: int, height: int) -> tuple[int, int] | None:
    """Upper left corner of a free box, ``None`` when none was found."""
    for _ in range(_TRIES):
        x, y = dice.between(1, SIDE - 1 - width), dice.between(1, SIDE - 1 - height)
        if all(
            x >= t.x + t.width + _GAP
            or t.x >= x + width + _GAP
            or y >= t.y + t.height + _GAP
            or t.y >= y + height + _GAP
            for t in items
        ):
            return x, y
    return None


def _shade(dice: Dice, colour: str) -> tuple[int, int, int]:
    red, green, blue = {"white": (238, 238, 238), "black": (16, 16, 16), **COLOURS}[colour]
    return (
        red + dice.between(-_SHADE, _SHADE),
        green + dice.between(-_SHADE, _SHADE),
        blue + dice.between(-_SHADE, _SHADE),
    )
