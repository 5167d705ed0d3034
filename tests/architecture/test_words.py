"""Public names and buttons use the words of the glossary, and what the glossary names is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

import analysis as an
from tests.architecture.test_imports import ROOT, only

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
MORE_FORBIDDEN = {"ask", "asked", "hide", "look", "luck", "wish", "them", "it", "stuff", "thing"}
"""Words that name nothing; a button or a public name with one would need a person to know what is meant."""
BUTTONS = ("button", "form_submit_button", "download_button")


def rows(heading: str) -> list[list[str]]:
    """Cells of a table below a heading, without its head."""
    part = GLOSSARY.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


HEADINGS = [h for h in re.findall(r"^## (.+)$", GLOSSARY, re.M) if h != "Buttons"]
TERMS = [row for heading in HEADINGS for row in rows(heading)]
IN_CODE = {name for row in TERMS for name in re.findall(r"`(\w+)`", row[3])}
FORBIDDEN = MORE_FORBIDDEN | {word for row in TERMS for word in re.split(r", ", row[4]) if word}


def words(name: str) -> set[str]:
    """Words of an identifier or of a caption, in small letters."""
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def labels() -> Iterator[tuple[str, str]]:
    """Every button whose caption is written where it is made: file and caption, what is filled in as {}."""
    for path in [*only("app"), *only("pages")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in BUTTONS
            ):
                for shown in _texts(node.args[0]) if node.args else ():
                    yield path.name, shown
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "on_demand":
                for shown in _texts(node.args[3]):
                    yield path.name, shown


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))


LABELS = sorted(set(labels()))


def test_words_are_found():
    assert words("compare_checkpoints") == {"compare", "checkpoints"}
    assert words("KLCov at LabSettings") == {"kl", "cov", "at", "lab", "settings"}
    assert len(TERMS) > 50 and all(len(row) == 5 for row in TERMS) and "ratio" in FORBIDDEN
    captions = {caption for _, caption in LABELS}
    assert len(captions) > 20 and {"Run needle test", "Draw layer {}, head {}"} <= captions


def test_no_word_means_two_things():
    terms = [term for row in TERMS for term in row[0].split(", ")]
    assert len(terms) == len(set(terms))
    assert not set().union(*map(words, terms)) & FORBIDDEN
    assert "window" not in terms, "of several kinds, each by its own name"


@pytest.mark.parametrize("name", an.__all__)
def test_a_public_name_stands_in_the_glossary_and_has_no_word_that_is_not_used(name):
    assert name in IN_CODE, "add it to docs/glossary.md, beside its term"
    assert not words(name) & FORBIDDEN


@pytest.mark.parametrize("name", an.figures.__all__)
def test_a_figure_has_no_word_that_is_not_used(name):
    assert not words(name) & FORBIDDEN


@pytest.mark.parametrize(("file", "caption"), LABELS)
def test_a_button_says_what_it_does(file, caption):
    beginnings = {word for row in rows("Buttons") for word in row[0].split(", ")}
    first = re.match(r"\w+", caption)
    assert first and first[0] in beginnings, (
        f"{file}: {caption!r} begins with a word that docs/glossary.md lacks"
    )
    assert not words(caption) & FORBIDDEN


def test_names_in_the_glossary_exist():
    there = set()
    for path in only("analysis"):
        there |= set(re.findall(r"\w+", path.read_text()))
    there |= set(an.__all__)
    assert sorted(IN_CODE - there) == []
