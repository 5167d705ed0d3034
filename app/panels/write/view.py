"""The page Write put together: what is written, the chosen token beside it, and the branches below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.compute import requests as runs
from app.compute.writing import Written
from app.panels.write import other_pages, running
from app.panels.write.answer import answer_card, own_tokens
from app.panels.write.answers import answers_panel, of_prompt
from app.panels.write.chosen import chosen_panel
from app.panels.write.compare import compare_card
from app.panels.write.difficulty import difficulty_card
from app.panels.write.more import more_line
from app.panels.write.rules import rules_card
from app.panels.write.steering import steering_card
from app.panels.write.tree import take_branch, tree_card
from app.widgets.layout import picture_and_choice

if TYPE_CHECKING:
    from analysis.writing.results import Writing

_POLL_SECONDS = 0.15
"""So that a new token is seen at least five times a second: drawing takes its part."""


def write_view() -> None:
    """Draw what is on screen, or what is being written in its place."""
    job = running.live_job()
    if job is None:
        _still(other_pages.wanted_trace())
        return
    writing = running.shown_writing()
    left, right = picture_and_choice("write")
    with left:
        _growing_answer(job.key)
        tree_card(writing, running.shown_branch(), still=False)
    with right:
        _growing_panel(job.key)


@st.fragment
def _still(wanted: str | None) -> None:
    """What was written; a choice draws this again and nothing else, but what is asked for draws the page.

    ``wanted`` is the job that read a branch for another page when the page was drawn.
    """
    if running.live_job() is not None or other_pages.wanted_trace() != wanted:
        st.rerun()
    writing = running.shown_writing()
    take_branch(writing)
    branch = running.shown_branch()
    tokens = own_tokens(writing, branch)
    left, right = picture_and_choice("write")
    with right:
        beside = st.container()
        found = answers_panel(writing)
    ends = {} if found is None else dict(zip(of_prompt(writing), found.extracted, strict=True))
    with left:
        answer_card(writing, branch, tokens)
        more_line(writing, branch)
        tree_card(writing, branch, ends=ends)
        compare_card(writing, branch)
        rules_card(writing, branch, tokens)
        difficulty_card()
        steering_card()
    with beside:
        chosen_panel(writing, branch, tokens)


@st.fragment(run_every=_POLL_SECONDS)
def _growing_answer(key: str) -> None:
    """What is being written, token by token; what was there before until the first one comes."""
    writing, branch, grows = _so_far(key)
    answer_card(writing, branch, own_tokens(writing, branch), grows=grows)


@st.fragment(run_every=5 * _POLL_SECONDS)
def _growing_panel(key: str) -> None:
    """The newest token."""
    writing, branch, grows = _so_far(key)
    chosen_panel(writing, branch, own_tokens(writing, branch), grows=True, newest=grows)


def _so_far(key: str) -> tuple[Writing, int, bool]:
    """What to draw, which branch, and whether it grows; draws the page again once the job has ended."""
    job = runs.engine().worker.get(key)
    if job is None or not job.is_live:
        st.rerun()
    written: Written | None = job.partial
    if written is None:
        return running.shown_writing(), running.shown_branch(), False
    return written.writing, written.branch, True
