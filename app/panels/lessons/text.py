"""What a lesson is measured on: its own text, another example, or a person's; a seed where there is no text."""

from __future__ import annotations

import streamlit as st

from analysis.lessons.lesson import Lesson
from app import state
from app.examples import EXAMPLES
from app.panels.lessons import address
from app.widgets.form_popover import set_open
from app.widgets.text_field import fill_in, text_field, text_of

_LONGEST = 6000
"""Characters: a lesson is measured while people wait."""


def text_form(lesson: Lesson) -> None:
    """Draw the form."""
    _field(lesson, state.lesson_form(lesson.slug))
    st.button(
        "Run with this seed" if lesson.needs == "seed" else "Run this text",
        type="primary",
        key="lesson_take",
        on_click=_take_and_close,
        args=(lesson,),
    )
    st.caption("The answers are then measured on it; predictions begin anew.")
    st.button("Reset to the lesson's own", key="lesson_reset", on_click=_reset, args=(lesson,))


def _field(lesson: Lesson, field: str) -> None:
    """What is read now, to be changed; under a key of the lesson's own."""
    if field not in st.session_state:
        _fill(lesson, address.what_is_read(lesson))
    if lesson.needs == "seed":
        st.number_input(
            "Seed of the training",
            0,
            9999,
            int(text_of(field)),
            key=state.widget_key(field),
            persist_state="session",
        )
        return
    if lesson.needs == "text":
        st.menu_button(
            "Fill in an example",
            list(EXAMPLES),
            key=f"{state.LESSON_FORM}_example",
            format_func=lambda slug: EXAMPLES[slug].title,
            on_click=_fill_in,
            args=(lesson,),
        )
    text_field(
        "Text to measure" if lesson.needs == "text" else "Beginning of the text",
        field,
        220,
        max_chars=_LONGEST,
    )


def _fill_in(lesson: Lesson) -> None:
    _fill(lesson, EXAMPLES[st.session_state[f"{state.LESSON_FORM}_example"]].text)


def _fill(lesson: Lesson, reads: str) -> None:
    fill_in(state.lesson_form(lesson.slug), reads)


def _take_and_close(lesson: Lesson) -> None:
    address.take(lesson, text_of(state.lesson_form(lesson.slug)))
    set_open(state.LESSON_FORM, False)


def _reset(lesson: Lesson) -> None:
    _fill(lesson, lesson.own)
    _take_and_close(lesson)
