"""Under the answer: write more of it, continue the chat with it, read it on another page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.numbers import count
from app import state
from app.navigation import ENTRIES, entry_of, page
from app.panels.write import other_pages, running
from app.panels.write.request import WriteRequest, add_turns, write_request
from app.widgets.form_popover import set_open

if TYPE_CHECKING:
    from analysis.writing.results import Writing

_READERS = tuple(entry.slug for entry in ENTRIES if entry.section == "Pictures")


def more_line(writing: Writing, branch: int) -> None:
    """Draw the line of buttons."""
    wanted = write_request()
    n = wanted.n_new if isinstance(wanted, WriteRequest) else 0
    with st.container(key="more_line", horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.button(
            f"Write {count(n)} more",
            icon=":material/play_arrow:",
            key="write_more",
            on_click=running.start_more,
            args=(n,),
            disabled=not n,
            help="The same branch goes on where it ends.",
        )
        if writing.prompt.messages:
            st.button(
                "Add to the chat",
                icon=":material/chat:",
                key="answer_it",
                on_click=_answer,
                args=(writing, branch),
                help="Puts what was written into the form as a turn of the chat, for your next message.",
            )
        with st.popover("Read this on …", icon=":material/menu_book:", key="read_this_on"):
            st.caption("The same tokens are read once, with attention, states and all that the page draws.")
            for slug in _READERS:
                st.button(
                    entry_of(slug).title,
                    key=f"read_on_{slug}",
                    type="tertiary",
                    on_click=other_pages.start_trace,
                    args=(slug,),
                )


def _answer(writing: Writing, branch: int) -> None:
    """The messages of this prompt and what was written into the form, which opens."""
    add_turns(writing.written(branch).strip())
    set_open(state.EDIT, True)


def open_where_read() -> None:
    """Go to the page that a branch was read for, once it is read."""
    slug = other_pages.take_trace()
    if slug is not None:
        st.switch_page(page(slug), query_params={})
