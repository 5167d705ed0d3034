"""What a lesson is measured on: its own text, another example, or a person's; a seed where there is no text."""

from __future__ import annotations

import streamlit as st

from analysis.lessons.lesson import Lesson
from app import state
from app.examples import EXAMPLES
from app.panels.lessons import address

_LONGEST = 6000
"""Characters: a lesson is measured while people wait."""


def text_form(lesson: Lesson) -> None:
    """Draw the form."""
    if lesson.needs == "seed":
        seed = st.number_input(
            "Seed of the training",
            0,
            9999,
            int(address.what_is_read(lesson)),
            key=f"{state.LESSON_FORM}_seed",
        )
        st.button(
            "Run with this seed",
            type="primary",
            key="lesson_take",
            on_click=_take_and_close,
            args=(lesson, str(seed)),
        )
    else:
        if lesson.needs == "text":
            st.menu_button(
                "Fill in an example",
                list(EXAMPLES),
                key=f"{state.LESSON_FORM}_example",
                format_func=lambda slug: EXAMPLES[slug].title,
                on_click=_fill_in,
                args=(state.lesson_form(lesson.slug),),
            )
        if state.lesson_form(lesson.slug) not in st.session_state:
            st.session_state[state.lesson_form(lesson.slug)] = address.what_is_read(lesson)
        text = st.text_area(
            "Text to measure" if lesson.needs == "text" else "Beginning of the text",
            key=state.lesson_form(lesson.slug),
            height=220,
            max_chars=_LONGEST,
            persist_state="session",
        )
        st.button(
            "Run this text", type="primary", key="lesson_take", on_click=_take_and_close, args=(lesson, text)
        )
    st.caption("The answers are then measured on it; predictions begin anew.")
    st.button(
        "Reset to the lesson's own",
        key="lesson_reset",
        on_click=_reset,
        args=(lesson, state.lesson_form(lesson.slug)),
    )


def _fill_in(field: str) -> None:
    st.session_state[field] = EXAMPLES[st.session_state[f"{state.LESSON_FORM}_example"]].text


def _take_and_close(lesson: Lesson, own: str) -> None:
    address.take(lesson, own)
    st.session_state[state.LESSON_FORM] = False


def _reset(lesson: Lesson, field: str) -> None:
    st.session_state[field] = lesson.own
    _take_and_close(lesson, lesson.own)
