"""Public names and buttons use the words of the glossary, and what the glossary names is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

import pytest

import analysis as an
from analysis import errors
from tests.architecture.test_imports import FILES, ROOT, name_of, only

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
MORE_FORBIDDEN = {"hide", "look", "luck", "wish", "them", "it", "stuff", "thing"}
"""Words that name nothing; a button or a public name with one would need a person to know what is meant."""
BUTTONS = ("button", "pressed", "form_submit_button", "download_button")
CONTROLS = (
    "checkbox",
    "expander",
    "file_uploader",
    "multiselect",
    "number_input",
    "pills",
    "popover",
    "radio",
    "segmented_control",
    "select_slider",
    "selectbox",
    "slider",
    "tabs",
    "text_area",
    "text_input",
    "toggle",
)
TITLES: dict[str, list[int | str]] = {name: [0, 1] for name in CONTROLS} | {
    "altair_card": [0],
    "figure_card": [0],
    "plotly_card": [0],
    "metric": [0],
    "on_demand": [1],
    "page_link": ["label"],
    "subheader": [0],
    "title": [0],
    "unavailable": [0],
}
CAPTIONS: dict[str, list[int | str]] = {
    "altair_card": [1],
    "figure_card": [1],
    "plotly_card": [1],
    "on_demand": [2],
    "caption": [0],
    "info": [0],
    "markdown": [0],
    "warning": [0],
    "*": ["help", "placeholder", "alt"],
}
OTHER_WORDS = {
    "config": "what transformers calls the settings of a model, and the file that holds them",
    "ratio": "of two probabilities, as in PPO, or the rule for massive activations",
}
"""Words that a name or a sentence may have in spite of the glossary: the field's for something else."""
VERBS = {"press", "reading"}
"""In a sentence: what one does with a button, and what a model does with a text."""
NOUN = re.compile(r"\b(a|the|this|each|one|last|first) (press|reading)\b", re.I)
IDIOMS = re.compile(
    r"\b(lean(s|ed)? (more |most )?on|rest(s|ed)? on (token|it)|feeds? on|clueless|thr[eo]wn? away|throws? away|who pays?|"
    r"bought|buys?|kin|hurts?|fakes?|foreseeable|carries the cloud|the work of|needs somewhere|look closer|"
    r"who (rests|feeds)|all the same|for free|hesitat\w+|take(s|n)? off)\b",
    re.I,
)
"""Turns of phrase that stood on screen once, and that a person who learnt English late has to guess."""


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


def called(node: ast.AST) -> str:
    """Last part of what a call calls; empty for what is no call."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def labels() -> Iterator[tuple[str, str]]:
    """Every button whose caption is written where it is made: file and caption, what is filled in as {}."""
    yield from _shown({name: [0] for name in BUTTONS} | {"on_demand": [3]})


def titles() -> Iterator[tuple[str, str]]:
    """Titles of cards, pages and panels, labels of controls, and what may be chosen in them."""
    yield from _shown(TITLES)
    for file, text in _shown({"markdown": [0]}):
        if text.startswith("**") and text.count("**") == 2:
            yield file, text


def sentences() -> Iterator[tuple[str, str]]:
    """Captions, helps, longer explanations, and what messages say and hint at."""
    yield from _shown(CAPTIONS)
    yield from _shown({name: [0, 1] for name in vars(errors) if name.endswith("Error")}, ("analysis", "app"))
    for path in only("app", "help.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield path.name, node.value


def _shown(
    places: dict[str, list[int | str]], folders: tuple[str, ...] = ("app", "pages")
) -> Iterator[tuple[str, str]]:
    """Texts at these places of calls, by the name of what is called: a position, or a keyword."""
    for path in [file for folder in folders for file in only(folder)]:
        tree = ast.parse(path.read_text())
        constants = {
            node.targets[0].id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            for place in [*places.get(called(node), ()), *places.get("*", ())]:
                found = keywords.get(place) if isinstance(place, str) else None
                if isinstance(place, int) and place < len(node.args):
                    found = node.args[place]
                if isinstance(found, ast.Name):
                    found = constants.get(found.id)
                for text in _texts(found) if found is not None else ():
                    yield path.name, text


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))
    elif isinstance(node, ast.BinOp):
        yield from (*_texts(node.left), *_texts(node.right))
    elif isinstance(node, (ast.Tuple, ast.List)):
        for part in node.elts:
            yield from _texts(part)
    elif isinstance(node, ast.Dict):
        for key in node.keys:
            yield from _texts(key) if key is not None else ()


def names() -> Iterator[tuple[str, str]]:
    """Names of modules, classes, functions, parameters and of imports that are given another: file and name."""
    for path in FILES:
        yield name_of(path), path.stem
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield name_of(path), node.name
            if isinstance(node, ast.arg):
                yield name_of(path), node.arg
            if isinstance(node, ast.alias) and node.asname:
                yield name_of(path), node.asname


LABELS = sorted(set(labels()))
TITLES_ON_SCREEN = sorted(set(titles()))
SENTENCES = sorted(set(sentences()))


def by_file(found: Iterable[tuple[str, str]]) -> pytest.MarkDecorator:
    """One case a file, with all that was found in it."""
    files: dict[str, set[str]] = {}
    for file, text in found:
        files.setdefault(file, set()).add(text)
    return pytest.mark.parametrize("found", files.values(), ids=files)


def test_words_are_found():
    assert words("compare_checkpoints") == {"compare", "checkpoints"}
    assert words("KLCov at LabSettings") == {"kl", "cov", "at", "lab", "settings"}
    assert len(TERMS) > 50 and all(len(row) == 5 for row in TERMS) and "ratio" in FORBIDDEN
    captions = {caption for _, caption in LABELS}
    assert len(captions) > 20 and {"Run needle test", "Draw layer {}, head {}"} <= captions
    found = {title for _, title in TITLES_ON_SCREEN}
    assert len(found) > 150
    assert {
        "Needle test",
        "Entropy window, tokens",
        "hide token 0",
        "**Damage against the share kept**",
        "Open a run",
    } <= found
    texts = {text for _, text in SENTENCES}
    assert (
        len(texts) > 250
        and "Lower is better: how far the next predictions moved. The full cache is 0." in texts
    )
    assert {"query_hub", "attention_choice", "on_tick", "explained"} <= {name for _, name in names()}


@pytest.mark.parametrize(
    "text", ["The head leans more on token 0.", "what is thrown away", "LoRA and its kin"]
)
def test_idioms_are_found(text):
    assert IDIOMS.search(text)


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


@by_file(names())
def test_a_name_has_no_word_that_is_not_used(found):
    nouns = FORBIDDEN - set(OTHER_WORDS)
    several = {f"{word}s" for word in nouns - {"it", "hide"}}
    assert not {name for name in found if words(name) & (nouns | several)}, (
        "docs/glossary.md has another word for it"
    )


@by_file(TITLES_ON_SCREEN)
def test_a_title_a_label_and_a_choice_have_no_word_that_is_not_used(found):
    wrong = FORBIDDEN - {"hide"}  # of tokens: what attention is kept from
    assert not {title for title in found if words(title) & wrong}


@by_file([*TITLES_ON_SCREEN, *SENTENCES, *LABELS])
def test_a_sentence_has_no_other_noun_for_a_thing_and_no_idiom(found):
    nouns = FORBIDDEN - MORE_FORBIDDEN - VERBS - set(OTHER_WORDS)
    assert not {text for text in found if words(text) & nouns or NOUN.search(text)}
    assert not {text: IDIOMS.search(text)[0] for text in found if IDIOMS.search(text)}


def test_names_in_the_glossary_exist():
    there = set()
    for path in only("analysis"):
        there |= set(re.findall(r"\w+", path.read_text()))
    there |= set(an.__all__)
    assert sorted(IN_CODE - there) == []
