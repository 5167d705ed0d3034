"""Generated scenes: the same everywhere, and every answer is the one that the picture gives."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pytest

import analysis as an
from analysis.visual_tokens.scenes.dice import Dice
from analysis.visual_tokens.scenes.drawing import LABELS, paint, patch_labels
from analysis.visual_tokens.scenes.font import GLYPHS, glyph, width_of
from analysis.visual_tokens.scenes.mentions import mentions
from analysis.visual_tokens.scenes.outlines import outline
from analysis.visual_tokens.scenes.plan import SIDE, Item
from analysis.visual_tokens.scenes.questions import further_questions
from analysis.visual_tokens.scenes.scene import SPLITS
from analysis.visual_tokens.scenes.words import COLOURS, KINDS, LETTERS, SHAPES, SIZES, WRITTEN, vocabulary

N = 400
HASH = "9331b6313b118dab0625ab6f4339063a472bfc527d9f1129e9c49339541315f4"


@pytest.fixture(scope="module")
def scenes():
    return [an.scene(seed) for seed in range(N)]


def test_the_data_are_the_ones_the_model_was_trained_on():
    """Pixels, questions and answers of the first scenes of every split; a change of any is a new data set."""
    found = hashlib.sha256()
    for seeds in SPLITS.values():
        for seed in seeds[:60]:
            s = an.scene(seed)
            found.update(s.pixels.tobytes())
            found.update(repr([(q.text, q.answer, q.kind) for q in s.questions]).encode())
            found.update(s.patch_labels.astype(np.int8).tobytes())
    assert found.hexdigest() == HASH


def test_splits_share_no_seed_and_no_picture():
    for a, b in combinations(SPLITS.values(), 2):
        assert a.stop <= b.start or b.stop <= a.start
    pictures = {name: {an.scene(s).pixels.tobytes() for s in seeds[:50]} for name, seeds in SPLITS.items()}
    assert len(set.union(*pictures.values())) == 150
    assert [an.scene(s).split for s in (0, 999_999, 1_000_000, 1_999_999, 2_000_000, 2**32 - 1)] == [
        *("test", "test", "validation", "validation", "train", "train")
    ]


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "3", True, None])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(an.AnalysisError, match="There is no scene"):
        an.scene(seed)


def test_a_scene_is_a_picture_with_questions():
    s = an.scene(7)
    assert s.image.size == (SIDE, SIDE) and s.image.mode == "RGB"
    assert np.array_equal(np.asarray(s.image), s.pixels)
    assert all(q.text.endswith("?") and q.answer and q.kind in KINDS for q in s.questions)


def test_things_are_apart_and_inside(scenes):
    for s in scenes:
        for t in s.items:
            assert t.x > 0 and t.y > 0 and t.x + t.width < SIDE and t.y + t.height < SIDE
            if t.kind == "shape":
                assert SIZES[t.size][0] <= t.width == t.height <= SIZES[t.size][1]
        for a, b in combinations(s.items, 2):
            across = max(a.x, b.x) - min(a.x + a.width, b.x + b.width)
            down = max(a.y, b.y) - min(a.y + a.height, b.y + b.height)
            assert max(across, down) >= 1, (s.seed, a, b)


# Answers, found a second time from what is there ------------------------------------------------------


def only(found: list) -> str:
    assert len(set(found)) == 1, found
    return found[0]


def refer(items, words: str) -> Item:
    """The one thing that some words name."""
    *adjectives, noun = words.split()
    found = [
        t
        for t in items
        if (noun == "thing" and t.kind == "shape") or noun in (t.name if t.kind == "shape" else t.kind)
    ]
    for word in adjectives:
        found = [t for t in found if word in (t.colour, t.size)]
    assert len(found) <= 1, (words, found)
    return found[0] if found else None


def answer(items, text: str) -> str:
    shapes = [t for t in items if t.kind == "shape"]
    one_of = {many: one for one, many in SHAPES.items()}
    if m := re.fullmatch(r"how many (?:(\w+) )?(\w+)\?", text):
        word, noun = m.groups()
        name = one_of.get(noun)
        return str(sum((not word or word in (t.colour, t.size)) and name in (None, t.name) for t in shapes))
    if m := re.fullmatch(r"which (colour|shape) leads\?", text):
        counts = Counter(t.colour if m[1] == "colour" else t.name for t in shapes)
        return only([k for k, n in counts.items() if n == max(counts.values())])
    if text == "which colour is missing?":
        return only([c for c in COLOURS if c not in {t.colour for t in shapes}] or ["none"])
    if m := re.fullmatch(r"which (digit|number|word) is shown\?", text):
        return only([t.name for t in items if t.kind == m[1]] or ["none"])
    if m := re.fullmatch(r"is there any (\w+) (\w+)\?", text):
        return "yes" if any((t.colour, t.name) == (m[1], m[2]) for t in shapes) else "no"
    if m := re.fullmatch(r"what (colour|shape|size) is the (.+)\?", text):
        item = refer(items, m[2])
        return (
            "none" if item is None else {"colour": item.colour, "shape": item.name, "size": item.size}[m[1]]
        )
    if m := re.fullmatch(r"what (colour|shape) is nearest to the (.+)\?", text):
        here = refer(items, m[2])
        far = lambda t: np.hypot(*(np.array(t.middle) - here.middle))  # noqa: E731
        first, second = sorted((t for t in shapes if t is not here), key=far)[:2]
        assert far(second) >= 1.2 * far(first) - 1e-9
        return first.colour if m[1] == "colour" else first.name
    m = re.fullmatch(r"where is the (.+) seen from the (.+)\?", text)
    here, there = refer(items, m[1]), refer(items, m[2])
    x, y = (
        here.x + here.width / 2 - there.x - there.width / 2,
        here.y + here.height / 2 - there.y - there.height / 2,
    )
    assert max(abs(x), abs(y)) >= max(12, 2 * min(abs(x), abs(y)))
    return ("left" if x < 0 else "right") if abs(x) > abs(y) else ("above" if y < 0 else "below")


def test_every_answer_is_the_right_one_and_the_only_one(scenes):
    for s in scenes:
        assert len({q.text for q in s.questions}) == len(s.questions) >= 3
        for q in s.questions:
            assert answer(s.items, q.text) == q.answer, (s.seed, q)


def test_further_questions_are_right_and_new(scenes):
    kinds = ("relation", "relation", "count", "relation")
    n = 0
    for s in scenes[:60]:
        more = further_questions(Dice(s.seed), s.items, kinds, s.questions)
        assert more == further_questions(Dice(s.seed), s.items, kinds, s.questions)
        assert len({q.text for q in (*s.questions, *more)}) == len(s.questions) + len(more)
        assert all(answer(s.items, q.text) == q.answer for q in more)
        n += len(more)
    assert n > 200


def test_what_a_question_names():
    red, blue, word = (
        Item("shape", "square", "red", "small", 0, 0, 8, 8, (255, 0, 0)),
        Item("shape", "square", "blue", "large", 9, 9, 18, 18, (0, 0, 255)),
        Item("word", "cat", "red", "", 50, 50, 20, 8, (255, 0, 0)),
    )
    items = (red, blue, word)
    assert [*mentions("where is the red square seen from the word?", items)] == [(4, red), (8, word)]
    assert [*mentions("what shape is the large blue thing?", items)] == [(6, blue)]
    assert [*mentions("what size is the square?", items)] == []  # two are
    assert [*mentions("what colour is the large ring?", items)] == []  # none is


def test_kinds_are_there_and_no_answer_carries_a_kind(scenes):
    """A model that always says the same must not look as if it saw something."""
    answers = defaultdict(Counter)
    for s in scenes:
        for q in s.questions:
            answers[q.kind][q.answer] += 1
    for kind in KINDS:
        n = answers[kind].total()
        assert n > 0.6 * N, kind
        assert answers[kind].most_common(1)[0][1] < 0.5 * n, (kind, answers[kind].most_common(3))
    assert {str(i) for i in range(8)} <= set(answers["count"])
    assert np.mean([len(s.questions) == 6 for s in scenes]) > 0.95


def test_scenes_are_as_hard_as_meant(scenes):
    """Numbers cross borders of patches; small shapes stand one patch apart; counts by colour go up to 7."""
    numbers = [t for s in scenes for t in s.items if t.kind == "number"]
    assert np.mean([t.x // 8 != (t.x + t.width - 1) // 8 for t in numbers]) > 0.9
    close = 0
    for s in scenes:
        small = [t for t in s.items if t.size == "small"]
        close += any(max(abs(a.x - b.x), abs(a.y - b.y)) <= 11 for a, b in combinations(small, 2))
    assert close > 0.3 * N
    per_colour = [max(Counter(t.colour for t in s.items if t.kind == "shape").values()) for s in scenes]
    assert max(per_colour) >= 7 and min(per_colour) == 1


# Pixels -----------------------------------------------------------------------------------------------


def test_a_shape_has_its_colour_where_it_is(scenes):
    for s in scenes[:100]:
        for t in s.items:
            if t.kind != "shape":
                continue
            inside = outline(t.name, t.width) == 256
            pixels = s.pixels[t.y : t.y + t.height, t.x : t.x + t.width][inside].astype(int)
            assert np.abs(pixels - t.rgb).max() <= 9


def test_outlines_cover_what_geometry_says():
    side = 16
    shares = {shape: outline(shape, side).sum() / 256 / side**2 for shape in SHAPES}
    # triangle 1/2; circle pi/4; ring three quarters of it; square .9²; cross: two bars of a third, their meeting once
    expected = {"circle": np.pi / 4, "square": 0.81, "triangle": 0.5, "cross": 5 / 9, "ring": np.pi * 3 / 16}
    assert shares == pytest.approx(expected, abs=0.03)
    assert all(np.array_equal(outline(s, 9), outline(s, 9)[:, ::-1]) for s in SHAPES)
    triangle = outline("triangle", 9).sum(1)
    assert (np.diff(triangle) > 0).all(), "the point of a triangle is at its top"


def test_characters_are_all_there_and_all_different():
    assert set(LETTERS) | set("0123456789") == set(GLYPHS)
    assert len(set(WRITTEN)) == 24 and set(WRITTEN) <= set(vocabulary())
    for height in (7, 8, 9, 10):
        shapes = {c: glyph(c, height) for c in GLYPHS}
        assert {g.shape for g in shapes.values()} == {(height, width_of(height))}
        for a, b in combinations(GLYPHS, 2):
            assert np.abs(shapes[a] - shapes[b]).sum() >= 256, (a, b)
    dots = np.array([[int(d) for d in row] for row in GLYPHS["5"].split()])
    assert np.array_equal(glyph("5", 7), 256 * dots)


def test_a_patch_is_named_by_what_covers_it():
    """A large square over patches (1, 1) to (2, 2), a number that begins in the last column but one."""
    square = Item("shape", "square", "blue", "large", 7, 7, 18, 18, (0, 0, 255))
    number = Item("number", "47", "white", "", 81, 80, 13, 8, (255, 255, 255))
    labels = patch_labels([square, number]).reshape(5, 12, 12)
    colour, shape, size, digit, letter = labels
    assert np.argwhere(shape[:, :]).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert (shape[1, 1], colour[1, 1], size[1, 1]) == (
        1 + LABELS["shape"].index("square"),
        1 + LABELS["colour"].index("blue"),
        1 + LABELS["size"].index("large"),
    )
    assert digit[10, 10:].tolist() == [5, 8] and not letter.any()
    assert np.count_nonzero(digit) == 2 and colour[10, 10] == 1 + LABELS["colour"].index("white")


def test_nothing_is_drawn_outside_the_things():
    grain = np.full((SIDE, SIDE), 128, np.int32)
    items = [Item("shape", "circle", "red", "small", 40, 40, 9, 9, (200, 0, 0))]
    drawn = paint(np.full((SIDE, SIDE, 3), 100, np.int32), items, grain)
    changed = np.argwhere((drawn != 100).any(-1))
    assert changed.min() >= 40 and changed.max() < 49
    assert drawn[44, 44].tolist() == [200, 0, 0]
