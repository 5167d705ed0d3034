"""Papers found by words and by picture, each with its formula and the ways to what it gave."""

from __future__ import annotations

import streamlit as st

from analysis.methods import PICTURES, Method, methods
from analysis.papers.bibtex import bibtex
from analysis.papers.citations import Paper, papers
from app import state
from app.panels.papers.links import href
from app.widgets.plain import plain

EVERYWHERE = "all"
_MOST = 12
"""Papers that are drawn before more are asked for."""


def all_papers() -> None:
    """Draw the page."""
    with st.container(key="line_papers", horizontal=True, vertical_alignment="bottom", gap="small"):
        words = st.text_input(
            "Search",
            key=state.PAPER_WORDS,
            bind="query-params",
            placeholder="name, author, year, or words",
            max_chars=200,
            width=300,
        )
        picture = st.pills(
            "Picture",
            [EVERYWHERE, *dict.fromkeys(PICTURES.values())],
            default=EVERYWHERE,
            required=True,
            key=state.PAPER_PICTURE,
            bind="query-params",
            label_visibility="collapsed",
        )
    found = [paper for paper in papers().values() if is_about(paper, picture) and has_words(paper, words)]
    with st.container(key="line_found", horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(
            f"{len(found)} of {len(papers())} entries. Claims are in words of this project; what differs here is what the "
            "code says of itself."
        )
        everything = len(found) <= _MOST or st.toggle(
            f"Draw all {len(found)}", key=state.PAPERS_ALL, bind="query-params"
        )
        st.download_button(
            "Save BibTeX",
            lambda: bibtex(found).encode(),
            file_name="logitscope-papers.bib",
            mime="application/x-bibtex",
            key="papers_bibtex",
            on_click="ignore",
            icon=":material/download:",
            disabled=not found,
            help="Citations of the papers below, in their order.",
        )
    for paper in found if everything else found[:_MOST]:
        card(paper, picture)


def is_about(paper: Paper, picture: str) -> bool:
    """Whether a paper stands behind something that this picture draws."""
    return picture == EVERYWHERE or any(methods()[key].picture == picture for key in paper.shows)


def has_words(paper: Paper, words: str) -> bool:
    """Whether each of the words is in a paper's name, title, authors, year, claim, or in what it gave."""
    text = " ".join(
        [paper.name, paper.title, *paper.authors, str(paper.year), paper.arxiv, paper.claim]
        + [methods()[key].label for key in paper.shows]
    ).casefold()
    return all(word in text for word in words.casefold().split())


def card(paper: Paper, picture: str = EVERYWHERE) -> None:
    """One paper, with what it gave to one picture, or to all."""
    given = [methods()[key] for key in paper.shows]
    given = [method for method in given if picture in (EVERYWHERE, method.picture)]
    with st.container(border=True, key=f"paper_{paper.id}"):
        st.markdown(_text(paper, given))
        if any(method.differs for method in given):
            with st.expander("What differs here"):
                st.markdown("\n\n".join(_differs(method) for method in given if method.differs))


def _text(paper: Paper, given: list[Method]) -> str:
    where = f"arXiv {paper.arxiv}" if paper.arxiv else paper.item.get("container-title", "")
    linked = f"[{plain(where or 'page')}]({paper.url})" if paper.url else plain(where)
    symbols = ", ".join(f"${tex}$ {plain(words)}" for tex, words in paper.symbols.items())
    return "\n\n".join(
        filter(
            None,
            (
                f"**{plain(paper.name)}** · {plain(paper.title)} · {plain(paper.who)} {paper.year}"
                + (f" · {linked}" if linked else ""),
                plain(paper.claim),
                f"$$\n{paper.formula}\n$$",
                f"Here {symbols}." if symbols else "",
                plain(paper.note),
                "Shown as " + ", ".join(map(_link, given)) + ".",
            ),
        )
    )


def _link(method: Method) -> str:
    to, label = href(method), plain(method.label)
    return f"[{label}]({to})" if to else label


def _differs(method: Method) -> str:
    return f"**{plain(method.label)}.** " + " ".join(plain(part) for part in method.differs.split("\n\n"))
