"""The file of citations: valid CSL JSON, well-formed BibTeX, and in agreement with the source lines of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.errors import AnalysisError
from analysis.papers.bibtex import bibtex
from analysis.papers.citations import cited, paper, papers

ROOT = Path(__file__).parents[3]
SOURCES = {
    path: path.read_text() for folder in ("analysis", "app") for path in sorted((ROOT / folder).rglob("*.py"))
}
ARXIV = re.compile(r"\b(\d{4}\.\d{5})\b")
NAMED = re.compile(
    r"\b([A-ZÀ-Ž][\w-]+)(?: et al\.| (?:and|&) ([A-Z][\w-]+))?,? ((?:19|20)\d\d)\b(?!-)(?:[ ,:]*\(?arXiv[: ](\d{4}\.\d{5}))?"
)
"""An author and a year, as a sentence names a source."""
NOT_AUTHORS = {
    "May",
    "June",
    "July",
    "September",
    "Nature",
    "Horizon",
    "NeurIPS",
    "Rule",
    "RL",
    "STEER",
    "UloRL",
}

TYPES = {"article", "article-journal", "paper-conference", "chapter", "software", "webpage"}
FIELDS = {
    "id": str,
    "type": str,
    "title": str,
    "author": list,
    "issued": dict,
    "container-title": str,
    "publisher": str,
    "number": str,
    "DOI": str,
    "URL": str,
    "note": str,
    "custom": dict,
}
"""Of CSL 1.0.2, those that are used; it allows no others, and puts one's own into ``custom``."""
OWN = {"name": str, "claim": str, "formula": str, "symbols": dict, "shows": list}


@pytest.mark.parametrize("id", papers())
def test_an_entry_is_valid_csl(id):
    item = papers()[id].item
    assert re.fullmatch(r"[a-z][a-z0-9_]*", id)
    assert {name: type(value) for name, value in item.items()} == {name: FIELDS[name] for name in item}
    assert item["type"] in TYPES
    assert item["title"].strip() == item["title"] and item["author"]
    for author in item["author"]:
        assert set(author) in ({"literal"}, {"family"}, {"family", "given"}) and all(author.values())
    assert item["author"][0] != {"literal": "others"}
    ((year,),) = item["issued"]["date-parts"]
    assert 1900 < year <= 2026
    if "number" in item:
        identifier = re.fullmatch(r"arXiv:(\d\d)(\d\d)\.\d{5}", item["number"])
        assert item["URL"] == f"https://arxiv.org/abs/{papers()[id].arxiv}"
        assert identifier and 0 <= year - 2000 - int(identifier[1]) <= 1  # a venue may be a year later
    if "DOI" in item:
        assert item["URL"] == f"https://doi.org/{item['DOI']}"
    own = item["custom"]
    assert {name: type(value) for name, value in own.items()} == OWN
    assert own["claim"].endswith(".") and own["claim"].count(". ") == 0, "one sentence"
    assert len(own["claim"]) < 220 and own["formula"]


@pytest.mark.parametrize("id", papers())
def test_braces_of_a_formula_close_and_its_symbols_are_in_it(id):
    found = papers()[id]
    for tex in (found.formula, *found.symbols):
        depth = 0
        for brace in re.findall(r"(?<!\\)[{}]", tex):
            depth += 1 if brace == "{" else -1
            assert depth >= 0
        assert depth == 0
        assert len(re.findall(r"\\left\b", tex)) == len(re.findall(r"\\right\b", tex)) and "$" not in tex

    def bare(tex: str) -> str:
        return re.sub(r"\s|\\(bar|hat|tilde|lVert|rVert)\b|[{}]", "", tex)

    for symbols in found.symbols:
        for symbol in re.split(r",\s*(?![^{]*})", symbols):
            name = re.split(r"[_^({ ]", bare(symbol).removeprefix("\\"))[0]
            assert name in bare(found.formula), symbol


def test_ids_and_identifiers_are_there_once():
    found = [p.arxiv for p in papers().values() if p.arxiv]
    assert len(found) == len(set(found)) > 90
    assert len({p.title.casefold() for p in papers().values()}) == len(papers())


def test_a_paper_with_an_identifier_has_its_year():
    assert [p.id for p in papers().values() if p.arxiv and p.year != 2000 + int(p.arxiv[:2])] == []


def test_source_lines_cite_in_one_way():
    assert cited("h2o") == "Zhang et al. 2023 (arXiv 2306.14048)"
    assert cited("effective_rank") == "Roy and Vetterli 2007"
    assert paper("eta").who == "Hewitt et al." and paper("kuensch").who == "Künsch"
    with pytest.raises(AnalysisError, match="no paper"):
        paper("h3o")


def test_every_identifier_that_the_code_names_is_on_the_shelf():
    known = {p.arxiv for p in papers().values()}
    named = {
        (number, path.name)
        for path, text in SOURCES.items()
        for number in re.findall(r"arXiv[: ]+(?:\"\s*\"|\s)*(\d{4}\.\d{5})", text)
    }
    assert len(named) > 40
    assert not [(number, file) for number, file in named if number not in known]


def test_authors_and_years_that_the_code_names_are_those_of_the_shelf():
    known = {(p.authors[0].rpartition(" ")[2], p.year) for p in papers().values()}
    by_number = {p.arxiv: p for p in papers().values()}
    unknown, seen = [], 0
    for path, text in SOURCES.items():
        flat = re.sub(r"[\"']?\s*\n\s*[\"']?", " ", text)
        for said in NAMED.finditer(flat):
            family, second, year, number = said.groups()
            if not (number or second or "et al." in said.group()):
                continue
            seen += 1
            right = (family, int(year)) in known
            if number:
                right = by_number[number].authors[0].endswith(family) and by_number[number].year == int(year)
            if not right:
                unknown.append(f"{path.name}: {family} {year} {number}")
    assert seen > 40
    assert not unknown


def test_bibtex_is_well_formed():
    text = bibtex(papers().values())
    entries = re.findall(r"^@(\w+)\{([a-z0-9_]+),\n((?:  \w+ = \{.*\},?\n)+)\}$", text, re.M)
    assert [key for _kind, key, _fields in entries] == list(papers())
    assert {kind for kind, _key, _fields in entries} == {"misc", "article", "inproceedings", "incollection"}
    for _kind, key, body in entries:
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},?$", body, re.M))
        assert {"title", "author", "year"} <= set(fields), key
        for value in fields.values():
            depth = 0
            for brace in re.findall(r"(?<!\\)[{}]", value):
                depth += 1 if brace == "{" else -1
                assert depth >= 0
            assert depth == 0, key
        assert not re.search(
            r"(?<!\\)[%#&$_]", re.sub(r"https?://\S*|10\.\S*", "", " ".join(fields.values()))
        )
    one = bibtex([paper("h2o")])
    assert one == (
        "@misc{h2o,\n  title = {{H2O:} {Heavy-Hitter} Oracle for Efficient Generative Inference of Large Language Models},\n"
        "  author = {Zhang, Zhenyu and others},\n  year = {2023},\n  eprint = {2306.14048},\n  archiveprefix = {arXiv},\n"
        "  url = {https://arxiv.org/abs/2306.14048}\n}\n"
    )
