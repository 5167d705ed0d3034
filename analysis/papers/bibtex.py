"""Papers as BibTeX entries."""

from __future__ import annotations

import re
from collections.abc import Iterable

from analysis.papers.citations import Paper

_KINDS = {
    "article": "misc",
    "article-journal": "article",
    "paper-conference": "inproceedings",
    "chapter": "incollection",
    "software": "misc",
    "webpage": "misc",
}
"""Types of CSL, and what BibTeX calls them; a paper that is on arXiv alone is "misc"."""
_CONTAINER = {"article": "journal", "inproceedings": "booktitle", "incollection": "booktitle"}
_SPECIAL = re.compile(r"[&%$#_]")
_SHORT_FORM = re.compile(r"\S*[A-Z]\S*[A-Z]\S*|\S*\d\S*")
"""Words that a style must not write small: those with two capitals or a digit."""


def bibtex(papers: Iterable[Paper]) -> str:
    """Entries of some papers, UTF-8, one after the other, by their ids."""
    return "\n".join(map(_entry, papers))


def _entry(paper: Paper) -> str:
    item = paper.item
    kind = _KINDS[item["type"]]
    fields = {
        "title": _title(paper.title),
        "author": " and ".join(_author(name) for name in item["author"]),
        "year": str(paper.year),
        _CONTAINER.get(kind, "howpublished"): _plain(item.get("container-title", "")),
        "eprint": paper.arxiv,
        "archiveprefix": "arXiv" if paper.arxiv else "",
        "doi": item.get("DOI", ""),
        "url": paper.url,
        "note": _plain(paper.note),
    }
    lines = ",\n".join(f"  {key} = {{{value}}}" for key, value in fields.items() if value)
    return f"@{kind}{{{paper.id},\n{lines}\n}}\n"


def _author(name: dict[str, str]) -> str:
    if name.get("literal") == "others":
        return "others"
    if "literal" in name:
        return f"{{{_plain(name['literal'])}}}"
    return _plain(", ".join(filter(None, (name["family"], name.get("given")))))


def _title(text: str) -> str:
    return _SHORT_FORM.sub(lambda word: f"{{{word.group()}}}", _plain(text))


def _plain(text: str) -> str:
    return _SPECIAL.sub(lambda sign: f"\\{sign.group()}", text)
