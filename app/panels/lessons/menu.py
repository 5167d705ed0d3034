"""The list of lessons."""

from __future__ import annotations

import streamlit as st

from analysis.lessons.registry import LESSONS
from app.panels.lessons import address
from app.widgets.layout import heading
from app.widgets.plain import plain

_IN_A_ROW = 2


def menu() -> None:
    """Draw a card for each lesson."""
    heading("lessons")
    st.caption(
        "Five to seven minutes each, on the model that comes with Logitscope. Predict first; then the model is measured."
    )
    lessons = list(LESSONS.values())
    for first in range(0, len(lessons), _IN_A_ROW):
        columns = st.columns(_IN_A_ROW)
        for place, lesson in zip(columns, lessons[first : first + _IN_A_ROW], strict=False):
            with place, st.container(border=True, key=f"card_lesson_{lesson.slug}", height="stretch"):
                number = list(LESSONS).index(lesson.slug) + 1
                st.markdown(f"**{number}  {plain(lesson.title)}**")
                st.caption(plain(lesson.question))
                st.button(
                    "Start",
                    key=f"lesson_start_{lesson.slug}",
                    type="primary",
                    on_click=address.go,
                    args=(lesson,),
                    help=f"Start: {lesson.title}",
                )
