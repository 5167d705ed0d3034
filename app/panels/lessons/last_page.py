"""The end of a lesson: what was predicted, and what the model did."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st

from analysis.lessons.lesson import Lesson
from analysis.lessons.registry import LESSONS
from app.navigation import entry_of, page
from app.panels.lessons import address


def last_page(lesson: Lesson, measured: Any) -> None:
    """Draw it: a row a step, how many came true, and where to go on."""
    predicted = address.predictions(lesson)
    findings = [step.find(measured) for step in lesson.steps]
    judged = [
        mine == found.option
        for mine, found in zip(predicted, findings, strict=True)
        if mine is not None and found.option is not None
    ]
    made, right = len(judged), sum(judged)
    with st.container(key="lesson_question"):
        st.title(
            f"{right} of {made} predictions came true" if made else "Nothing was predicted", anchor=False
        )
    rows = []
    for step, mine, found in zip(lesson.steps, predicted, findings, strict=True):
        mark = "–" if mine is None or found.option is None else "✓" if mine == found.option else "✗"
        label = "–" if found.option is None else step.options[found.option].label
        said = "–" if mine is None else step.options[mine].label
        rows.append(
            f"<tr><th scope=row>{escape(step.title)}</th><td>{escape(said)}</td><td>{escape(label)}<small>{escape(found.value)}</small></td><td>{mark}</td></tr>"
        )
    with st.container(border=True, key="card_lesson"):
        st.html(
            "<table class=lesson-table><thead><tr><td></td><th scope=col>you predicted</th><th scope=col>the model</th><td></td></tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table>"
        )
    with st.container(key="lesson_more", horizontal=True, vertical_alignment="center", gap="medium"):
        following = _following(lesson)
        if following is not None:
            st.button(
                f"Go on: {following.title}",
                key="lesson_following_lesson",
                type="primary",
                on_click=address.go,
                args=(following,),
            )
        st.page_link(
            page(lesson.picture), label=f"More: {entry_of(lesson.picture).title.lower()}", query_params={}
        )


def _following(lesson: Lesson) -> Lesson | None:
    slugs = list(LESSONS)
    at = slugs.index(lesson.slug) + 1
    return LESSONS[slugs[at]] if at < len(slugs) else None
