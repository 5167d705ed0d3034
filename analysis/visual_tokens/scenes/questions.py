"""Questions about a scene that have one right answer, of six kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from analysis.visual_tokens.scenes.dice import Dice
from analysis.visual_tokens.scenes.plan import Item
from analysis.visual_tokens.scenes.words import COLOURS, KINDS, SHAPES

PER_SCENE = 6
_TRIES = 12
_ASIDE = 24
"""Half pixels that two items must be apart along the direction that is asked for."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question: its text, its answer of one word or number, and its kind (one of ``KINDS``)."""

    text: str
    answer: str
    kind: str


def draw_questions(dice: Dice, items: Sequence[Item]) -> tuple[Question, ...]:
    """Draw questions, one of every kind that the scene allows, then more until there are six.

    Parameters
    ----------
    dice : Dice
    items : sequence of Item

    Returns
    -------
    tuple of Question
        Up to 6, in a drawn order, no text twice.
    """
    found: dict[str, Question] = {}
    kinds = dice.shuffled(KINDS)
    for kind in (*kinds, *(dice.pick(KINDS) for _ in range(_TRIES))):
        if len(found) == PER_SCENE:
            break
        said = _MAKERS[kind](dice, items)
        if said is not None and said[0] not in found:
            found[said[0]] = Question(*said, kind)
    return tuple(found.values())


def further_questions(
    dice: Dice, items: Sequence[Item], kinds: Sequence[str], known: Sequence[Question]
) -> tuple[Question, ...]:
    """Draw one more question of each of these kinds, where the scene allows one.

    Parameters
    ----------
    dice : Dice
    items : sequence of Item
    kinds : sequence of str
        Some of ``KINDS``; a kind may come more than once.
    known : sequence of Question
        Those that have been asked.

    Returns
    -------
    tuple of Question
        In the order of the kinds; no text twice, none of a known question. A kind is left out after three tries.
    """
    found = {q.text: q for q in known}
    for kind in kinds:
        for _ in range(3):
            said = _MAKERS[kind](dice, items)
            if said is not None and said[0] not in found:
                found[said[0]] = Question(*said, kind)
                break
    return tuple(found.values())[len(known) :]


Said = tuple[str, str] | None


def _shapes(items: Sequence[Item]) -> list[Item]:
    return [t for t in items if t.kind == "shape"]


def _count(dice: Dice, items: Sequence[Item]) -> Said:
    """How many there are, by colour most often; the colour of a drawn shape, so that large counts are asked for as well."""
    shapes = _shapes(items)
    if not shapes:
        return None
    one, by = dice.pick(shapes), dice.below(10)
    if by < 5:
        colour = dice.pick(tuple(COLOURS)) if dice.chance(0.1) else one.colour
        return f"how many {colour} shapes?", str(sum(t.colour == colour for t in shapes))
    if by < 7:
        return f"how many {SHAPES[one.name]}?", str(sum(t.name == one.name for t in shapes))
    if by < 9:
        return f"how many {one.size} shapes?", str(sum(t.size == one.size for t in shapes))
    return "how many shapes?", str(len(shapes))


def _leading(dice: Dice, items: Sequence[Item]) -> Said:
    """The colour, or the shape, that is there most often; only if no other is there as often."""
    by_shape = dice.chance(0.25)
    counts = Counter(t.name if by_shape else t.colour for t in _shapes(items)).most_common(2)
    if not counts or (len(counts) == 2 and counts[0][1] == counts[1][1]):
        return None
    return f"which {'shape' if by_shape else 'colour'} leads?", counts[0][0]


def _only(items: Sequence[Item], key: Callable[[Item], object]) -> list[Item]:
    """Items whose key no other has."""
    counts = Counter(map(key, items))
    return [t for t in items if counts[key(t)] == 1]


def _attribute(dice: Dice, items: Sequence[Item]) -> Said:
    """Colour, shape or size of the one item with two other attributes; the colour of a writing in a shape's colour."""
    shapes = _shapes(items)
    coloured = [t for t in items if t.kind != "shape" and t.colour in COLOURS]
    colours = [
        *(
            (f"what colour is the {t.size} {t.name}?", t.colour)
            for t in _only(shapes, lambda t: (t.size, t.name))
        ),
        *((f"what colour is the {t.name}?", t.colour) for t in _only(shapes, lambda t: t.name)),
        *((f"what colour is the {t.kind}?", t.colour) for t in coloured),
    ]
    sizes = [
        (f"what size is the {t.colour} {t.name}?", t.size)
        for t in _only(shapes, lambda t: (t.colour, t.name))
    ]
    names = [
        (f"what shape is the {t.size} {t.colour} thing?", t.name)
        for t in _only(shapes, lambda t: (t.size, t.colour))
    ]
    choices = [some for some in (colours, sizes, names) if some]
    return dice.pick(dice.pick(choices)) if choices else None


def _named(items: Sequence[Item]) -> Iterator[tuple[Item, str]]:
    """Things that a colour and a shape, or their kind of writing, name."""
    yield from ((t, f"the {t.colour} {t.name}") for t in _only(_shapes(items), lambda t: (t.colour, t.name)))
    yield from ((t, f"the {t.kind}") for t in items if t.kind != "shape")


def _relation(dice: Dice, items: Sequence[Item]) -> Said:
    """Where one item lies seen from another, or what is nearest to one."""
    named = list(_named(items))
    if dice.chance(0.5):
        asked = [
            (f"where is {name} seen from {other_name}?", direction)
            for item, name in named
            for other, other_name in named
            if item is not other and (direction := _direction(item, other))
        ]
    else:
        by_shape = dice.chance(0.5)
        asked = [
            (
                f"what {'shape' if by_shape else 'colour'} is nearest to {name}?",
                near.name if by_shape else near.colour,
            )
            for item, name in named
            if (near := _nearest(item, items))
        ]
    return dice.pick(asked) if asked else None


def _direction(item: Item, seen_from: Item) -> str:
    """Left, right, above or below; "" where the direction is not clear: nearly diagonal, or close."""
    x, y = item.middle[0] - seen_from.middle[0], item.middle[1] - seen_from.middle[1]
    if abs(x) >= 2 * abs(y) and abs(x) >= _ASIDE:
        return "left" if x < 0 else "right"
    if abs(y) >= 2 * abs(x) and abs(y) >= _ASIDE:
        return "above" if y < 0 else "below"
    return ""


def _nearest(item: Item, items: Sequence[Item]) -> Item | None:
    """The shape whose middle is nearest; none unless the next is a fifth farther."""
    x, y = item.middle
    ranked = sorted(
        ((t.middle[0] - x) ** 2 + (t.middle[1] - y) ** 2, i)
        for i, t in enumerate(items)
        if t.kind == "shape" and t is not item
    )
    if len(ranked) < 2 or ranked[1][0] * 100 < ranked[0][0] * 144:
        return None
    return items[ranked[0][1]]


def _text_shown(dice: Dice, items: Sequence[Item]) -> Said:
    """The digit, the number or the word."""
    written = [t for t in items if t.kind != "shape"]
    if not written:
        return None
    one = dice.pick(written)
    return f"which {one.kind} is shown?", one.name


def _absence(dice: Dice, items: Sequence[Item]) -> Said:
    """What is missing, what is asked for and is not there (the answer is "none"), or whether something is there."""
    shapes = _shapes(items)
    choice = dice.below(10)
    missing = [c for c in COLOURS if all(t.colour != c for t in shapes)]
    if choice < 3 and len(missing) < 2:
        return "which colour is missing?", missing[0] if missing else "none"
    absent = [kind for kind in ("digit", "number", "word") if all(t.kind != kind for t in items)]
    if choice == 3 and absent:
        return f"which {dice.pick(absent)} is shown?", "none"
    if choice < 5:  # its size and its shape are there, but not together
        apart = _apart(shapes, lambda t: (t.size, t.name))
        return ("what colour is the {} {}?".format(*dice.pick(apart)), "none") if apart else None
    there = dice.chance(0.5)
    together = sorted({(t.colour, t.name) for t in shapes})
    asked = together if there else _apart(shapes, lambda t: (t.colour, t.name))
    return ("is there any {} {}?".format(*dice.pick(asked)), "yes" if there else "no") if asked else None


def _apart(shapes: Sequence[Item], key: Callable[[Item], tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of two attributes of which each is there, on different shapes."""
    together = {key(t) for t in shapes}
    return sorted(
        (a, b) for a in {a for a, _ in together} for b in {b for _, b in together} if (a, b) not in together
    )


_MAKERS: dict[str, Callable[[Dice, Sequence[Item]], Said]] = {
    "count": _count,
    "leading": _leading,
    "attribute": _attribute,
    "relation": _relation,
    "reading": _text_shown,
    "absence": _absence,
}
