"""The example texts say nothing wrong."""

from __future__ import annotations

import ast
import contextlib
import io
import itertools
import operator
import re
from dataclasses import FrozenInstanceError

import pytest

from app import examples
from app.examples import DEFAULT, EXAMPLES

OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
WANTED = (
    "story",
    "prose",
    "dialogue",
    "code",
    "arithmetic",
    "table",
    "repeated",
    "german",
    "spanish",
    "japanese",
    "reasoning",
)


def _output(source: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "<example>", "exec"), {})
    return printed.getvalue()


def test_the_slugs_are_the_keys_and_none_is_lost():
    assert sorted(EXAMPLES) == sorted(WANTED)
    assert len(examples._ALL) == len(EXAMPLES), "two examples share a slug"
    assert all(slug == example.slug for slug, example in EXAMPLES.items())
    assert len({example.title for example in EXAMPLES.values()}) == len(EXAMPLES)
    assert len({example.text for example in EXAMPLES.values()}) == len(EXAMPLES)
    assert all(re.fullmatch("[a-z]+", slug) for slug in EXAMPLES)


def test_the_default_exists_and_comes_first():
    assert DEFAULT == "story"
    assert next(iter(EXAMPLES)) == DEFAULT


@pytest.mark.parametrize("slug", WANTED)
def test_texts_can_be_measured(slug):
    example = EXAMPLES[slug]
    assert example.text.strip()
    assert example.text.encode("utf-8").decode("utf-8") == example.text
    assert "\ufffd" not in example.text and "\\" not in example.text
    assert not re.search(r"[^\S\n]+\n|\t|\r|\x00", example.text), "stray white space"
    if slug != "japanese":  # which has no spaces between words
        assert 60 <= len(example.text.split()) <= 250
    assert example.title.strip() == example.title != ""


@pytest.mark.parametrize("slug", WANTED)
def test_what_to_look_for_is_one_sentence_to_check(slug):
    sentence = EXAMPLES[slug].hint
    assert "heck" in sentence
    assert sentence[0].isupper() and sentence[-1] in ".?"
    assert not re.search(r"[.?!] ", sentence)


def test_an_example_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        EXAMPLES["prose"].text = "other"  # type: ignore[misc]


@pytest.mark.parametrize(("slug", "count"), [("arithmetic", 12), ("reasoning", 8)])
def test_equations_are_true(slug, count):
    text = EXAMPLES[slug].text
    equations = EQUATION.findall(text)
    assert len(equations) == count == text.count("=")
    for left, sign, right, result in equations:
        assert OPERATIONS[sign](int(left), int(right)) == int(result), (left, sign, right, result)


def test_each_line_of_the_worksheet_begins_with_the_result_before_it():
    equations = EQUATION.findall(EXAMPLES["arithmetic"].text)
    assert all(before[3] == after[0] for before, after in itertools.pairwise(equations))
    assert equations[-1][3] == "100" and [e[3] for e in equations].count("100") == 2


def test_the_repeated_passage_is_the_same_three_times():
    copies = EXAMPLES["repeated"].text.strip().split("\n\n")
    assert len(copies) == 3
    assert copies[0] == copies[1] == copies[2]
    assert 35 <= len(copies[0].split()) <= 45


def test_the_code_compiles_and_does_what_it_says():
    source = EXAMPLES["code"].text
    names = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    assert names == {"find_position", "count_words"}
    assert _output(source) == "3\n{'to': 2, 'be': 2, 'or': 1, 'not': 1}\n"


def test_the_code_in_the_story_gives_the_sum_the_story_tells():
    story = EXAMPLES["story"].text
    code = story.split("\n\n")[1]
    assert len(code.splitlines()) == 3
    assert _output(code) == "books back: 28\n"
    assert "12 plus 7 plus 9 is 28" in story
    assert 30 - 28 == 2 and "holds 30, two places" in story
    assert 90 <= len(story.split()) <= 120


def test_the_table_adds_up():
    lines = [line for line in EXAMPLES["table"].text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1, "columns are not aligned"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    days = [[int(cell) for cell in row[1:]] for row in rows[2:-1]]
    assert [int(cell) for cell in rows[-1][1:]] == [sum(column) for column in zip(*days, strict=True)]
    assert all(baked - sold == left for baked, sold, left in days)


def test_the_languages_use_their_own_letters():
    assert re.search("[äöüß]", EXAMPLES["german"].text)
    assert re.search("[áéíóúñ]", EXAMPLES["spanish"].text)
    assert re.search("[\u3040-\u30ff]", EXAMPLES["japanese"].text)
    assert re.search("[\u4e00-\u9fff]", EXAMPLES["japanese"].text)
