"""The list of pages, in one place. Their marks in the menu are squares in the colour of the picture, see style.css."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

PAGES = Path(__file__).resolve().parents[1] / "pages"


@dataclass(frozen=True)
class PageEntry:
    """One page: its file is ``pages/<slug>.py``, its address ``/<slug>``."""

    slug: str
    title: str
    question: str
    """What the page answers, in one plain question."""
    section: str = ""
    """Heading of the menu it stands under."""


ENTRIES = (
    PageEntry("overview", "Overview", "What happens inside a model while it reads one text?"),
    PageEntry("write", "Write", "What does the model choose, and what else could it have said?"),
    PageEntry("compare", "Compare", "B is A but for one thing: which predictions change, and where?"),
    PageEntry("lessons", "Lessons", "What would you predict, and what does the model do?"),
    PageEntry(
        "visual_tokens",
        "Visual tokens",
        "Where does a model look on a picture, and which patches could have gone?",
    ),
    PageEntry(
        "token_entropy",
        "Token entropy",
        "How unsure was the model, just before each token?",
        "Pictures",
    ),
    PageEntry(
        "attention_sinks",
        "Attention sinks",
        "Which tokens does every head attend to?",
        "Pictures",
    ),
    PageEntry(
        "entropy_collapse",
        "Entropy collapse",
        "Where does entropy fall: over layers, over training, and in a live lab?",
        "Pictures",
    ),
    PageEntry(
        "pruning_effects",
        "Pruning effects",
        "What can leave the KV cache, and at what cost?",
        "Pictures",
    ),
    PageEntry("papers", "Papers", "Where does each picture come from, and what differs here?", "Sources"),
)


def page(slug: str) -> Any:
    """Page object for links; its identity is the address, so a fresh one is fine."""
    entry = entry_of(slug)
    return st.Page(
        PAGES / f"{entry.slug}.py", title=entry.title, url_path=entry.slug, default=entry is ENTRIES[0]
    )


def entry_of(slug: str) -> PageEntry:
    """The page of a slug."""
    return next(e for e in ENTRIES if e.slug == slug)


def build_pages() -> dict[str, list[Any]]:
    """All pages in menu order, by their sections."""
    sections: dict[str, list[Any]] = {}
    for entry in ENTRIES:
        sections.setdefault(entry.section, []).append(page(entry.slug))
    return sections
