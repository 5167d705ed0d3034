"""The papers by their short names, read from one file in CSL JSON, the format that reference managers exchange.

``papers.json`` holds the citations. What is ours of an entry lies under ``custom``, where that format has room for it:
a name, the claim in a sentence, the formula, its symbols, and the keys of :mod:`analysis.methods` that it stands
behind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from analysis.errors import AnalysisError


@dataclass(frozen=True)
class Paper:
    """One work: how it is cited, and what it says."""

    id: str
    name: str
    """As people call it."""
    title: str
    authors: tuple[str, ...]
    """Family names, or names as a whole; the ones left out are not counted."""
    more_authors: bool
    """Whether some were left out."""
    year: int
    claim: str
    """What it says, one sentence in words of our own."""
    formula: str
    """TeX."""
    symbols: Mapping[str, str]
    """What the formula's symbols stand for, by their TeX."""
    shows: tuple[str, ...]
    """Keys of :func:`analysis.methods.methods`."""
    arxiv: str
    """Identifier, or "" where there is none."""
    url: str
    note: str
    item: Mapping[str, Any]
    """The entry as it stands in the file."""

    @property
    def who(self) -> str:
        """Authors as they are named in a sentence: "Roy and Vetterli", "Zhang et al."."""
        if self.more_authors or len(self.authors) > 2:
            return f"{self.authors[0]} et al."
        return " and ".join(self.authors)

    @property
    def cited(self) -> str:
        """The citation of source lines: "Zhang et al. 2023 (arXiv 2306.14048)"."""
        return f"{self.who} {self.year}" + (f" (arXiv {self.arxiv})" if self.arxiv else "")


@cache
def papers() -> Mapping[str, Paper]:
    """Every paper by its id, in the order of the file."""
    return {paper.id: paper for paper in map(_paper, _items())}


def paper(id: str) -> Paper:
    """The paper of an id.

    Raises
    ------
    AnalysisError
        If there is none.
    """
    if id not in papers():
        raise AnalysisError(f"There is no paper {id!r}.", "The page Papers finds them by name or title.")
    return papers()[id]


def cited(id: str) -> str:
    """How a source line cites a paper, see :attr:`Paper.cited`."""
    return paper(id).cited


def titled(id: str) -> str:
    """The citation with its title, as a sentence: "H2O: Heavy-Hitter Oracle ..., Zhang et al. 2023 (arXiv 2306.14048)."."""
    return f"{paper(id).title}, {paper(id).cited}."


def _items() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        files("analysis.papers").joinpath("papers.json").read_text("utf-8")
    )
    return found


def _paper(item: dict[str, Any]) -> Paper:
    own, number = item["custom"], item.get("number", "")
    names = [name for name in item["author"] if name.get("literal") != "others"]
    return Paper(
        id=item["id"],
        name=own["name"],
        title=item["title"],
        authors=tuple(name.get("family") or name["literal"] for name in names),
        more_authors=len(names) < len(item["author"]),
        year=item["issued"]["date-parts"][0][0],
        claim=own["claim"],
        formula=own["formula"],
        symbols=own["symbols"],
        shows=tuple(own["shows"]),
        arxiv=number.removeprefix("arXiv:") if number.startswith("arXiv:") else "",
        url=item.get("URL", ""),
        note=item.get("note", ""),
        item=item,
    )
