"""The forms behind the bar of the page Write: the prompt, and how the next token is chosen."""

from __future__ import annotations

import streamlit as st

from analysis.writing.sampler_chain import LARGEST_SEED, SAMPLERS
from app import state
from app.choice import choose
from app.panels.write.request import (
    FORMS,
    MOST_ANSWERS,
    MOST_NEW,
    N_ANSWERS,
    N_NEW,
    THINKING,
    add_turns,
    drop_turns,
)
from app.widgets.text_field import text_field

_LONGEST = 200_000
"""Characters of a message."""


def prompt_form() -> None:
    """A plain text to go on with, or the messages of a chat."""
    if choose("What the model gets", FORMS, key=state.WRITE_AS, titled=False) == "plain":
        _text("Text to go on with", state.PROMPT_TEXT, 240)
        return
    _text("System", state.SYSTEM, 68, "Empty: what the model's template puts there by itself.")
    _text("Message", state.MESSAGE, 110)
    for i in range(st.session_state[state.N_TURNS]):
        _text("You" if i % 2 else "The model said", state.turn(i), 90)
    with st.container(horizontal=True, vertical_alignment="bottom", key="turn_buttons"):
        st.button("Add an answer and a message", icon=":material/add:", key="add_turns", on_click=add_turns)
        if st.session_state[state.N_TURNS]:
            st.button("Clear the last two", icon=":material/remove:", key="drop_turns", on_click=drop_turns)
        st.selectbox(
            "Thinking",
            list(THINKING),
            key=state.THINKING,
            persist_state="session",
            width=190,
            help="Only for templates that know it; the others say so.",
        )


def _text(label: str, name: str, height: int, placeholder: str | None = None) -> None:
    text_field(label, name, height, placeholder=placeholder, max_chars=_LONGEST)


def write_options() -> None:
    """How much is written, and how the next token is chosen."""
    left, right = st.columns(2)
    # floats, because Streamlit fails on a link with an infinite whole number
    left.number_input(
        "Tokens", 1.0, float(MOST_NEW), float(N_NEW), 1.0, "%.0f", key=state.N_WRITTEN, bind="query-params"
    )
    right.number_input(
        "Answers at once",
        2.0,
        float(MOST_ANSWERS),
        float(N_ANSWERS),
        1.0,
        "%.0f",
        key=state.N_ANSWERS,
        bind="query-params",
    )
    names = st.multiselect(
        "Samplers, in the order they are applied",
        list(SAMPLERS),
        key=state.WRITE_SAMPLERS,
        format_func=lambda name: SAMPLERS[name].label,
        bind="query-params",
        placeholder="none: always the most probable token",
    )
    for name in names:
        info = SAMPLERS[name]
        st.number_input(
            info.label,
            float(info.least),
            float(info.most),
            float(info.default),
            1.0 if info.whole else None,
            "%.0f" if info.whole else "%g",
            key=state.sampler(name),
            bind="query-params",
            help=info.help,
        )
    st.number_input(
        "Seed",
        0.0,
        float(min(LARGEST_SEED, 2**32)),
        0.0,
        1.0,
        "%.0f",
        key=state.WRITE_SEED,
        bind="query-params",
        disabled=not names,
        help="The same seed, sample and place draw the same token.",
    )
    text_field(
        "Stop at",
        state.STOP_STRINGS,
        68,
        placeholder="one string a line",
        help="The text ends behind the first of these, beside the model's own end.",
        max_chars=2000,
    )
