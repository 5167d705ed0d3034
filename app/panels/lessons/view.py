"""A lesson on screen: what it is and how far, the question, picture and predictions, and where to go."""

from __future__ import annotations

from html import escape
from pathlib import Path

import streamlit as st

from analysis.lessons.lesson import Lesson
from app import state
from app.panels.lessons import address
from app.panels.lessons.last_page import last_page
from app.panels.lessons.measured import Shown, measure_where_missing, shown_result, watch
from app.panels.lessons.menu import menu
from app.panels.lessons.step import step_page
from app.panels.lessons.text import text_form
from app.widgets.form_popover import form_popover
from app.widgets.messages import show_error
from app.widgets.plain import plain

_STYLE = Path(__file__).with_name("lesson.css")


def lessons() -> None:
    """Draw the lesson that the address names, or the list of all."""
    lesson = address.chosen_lesson()
    if lesson is None:
        menu()
        return
    st.html(_STYLE)
    number = address.step_number(lesson)
    shown = shown_result(lesson)
    _top(lesson, number, shown)
    if shown.error is not None:
        show_error(shown.error)
    if address.is_lost(lesson):
        st.info(
            "The text of this link is not on this server: it was put in by hand. The lesson's own is shown."
        )
    if shown.value is None:
        st.title(plain(lesson.question), anchor=False)
        if shown.job is not None:
            watch(shown.job.key)
        is_answered = False
    elif number == len(lesson.steps):
        last_page(lesson, shown.value)
        is_answered = True
    else:
        is_answered = step_page(lesson, number, shown.value)
    _foot(lesson, number, is_answered)
    measure_where_missing(lesson)


def _top(lesson: Lesson, number: int, shown: Shown) -> None:
    n = len(lesson.steps)
    with st.container(key="lesson_top", horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Leave the lesson",
            icon=":material/close:",
            type="tertiary",
            key="lesson_leave",
            help="Leave the lesson",
            on_click=address.go,
            args=(None,),
        )
        st.markdown(f"**{plain(lesson.title)}**", width="content")
        _source(lesson, shown)
        with form_popover("Text" if lesson.needs != "seed" else "Seed", state.LESSON_FORM, type="tertiary"):
            text_form(lesson)
        with st.popover("Link", key="lesson_link", type="tertiary", help="Link for a class"):
            st.caption("Opens this step, without anybody's predictions.")
            st.code(address.link(lesson, number), language=None)
        done = [one is not None for one in address.predictions(lesson)]
        dots = "".join(
            f'<i class="{"now" if i == number else "done" if i < n and done[i] else ""}"></i>'
            for i in range(n + 1)
        )
        st.html(
            f'<div class="lesson-dots {escape(lesson.picture)}" role="presentation">{dots}</div>',
            width="content",
        )
        st.caption(f"step {number + 1} of {n + 1}", width="content")


def _source(lesson: Lesson, shown: Shown) -> None:
    """Where the numbers are from: measured here, or stored and being measured."""
    with st.container(key="lesson_source", horizontal=True, vertical_alignment="center"):
        if shown.job is not None and shown.value is not None:
            watch(shown.job.key, "stored")
            return
        own = address.what_is_read(lesson) != lesson.own
        what = (
            {"text": "your text · ", "prompt": "your text · ", "seed": "your seed · "}[lesson.needs]
            if own
            else ""
        )
        place = "measured here" if shown.is_live else "stored result"
        st.caption(f"{what}{place}" if shown.value is not None else what.removesuffix(" · "))


def _foot(lesson: Lesson, number: int, is_answered: bool) -> None:
    n = len(lesson.steps)
    with st.container(key="lesson_foot", horizontal=True, vertical_alignment="center", gap="medium"):
        st.button(
            "Back",
            key="lesson_back",
            icon=":material/chevron_left:",
            disabled=number == 0,
            on_click=address.go,
            args=(lesson, number - 1),
            shortcut="PageUp",
        )
        keys = "Keys: 1 2 3 predict, Enter shows the answer, ← → move, Page ↑ ↓ turn"
        st.caption(keys if number < n else "", width="stretch")
        st.button(
            "Next",
            key="lesson_next",
            icon=":material/chevron_right:",
            icon_position="right",
            type="primary" if is_answered else "secondary",
            disabled=number == n,
            on_click=address.go,
            args=(lesson, number + 1),
            shortcut="PageDown",
        )
