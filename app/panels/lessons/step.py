"""One step: the question, a prediction among drawn ones, the one control, the picture, and what happened and why."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from analysis.drawing.charts import for_projector
from analysis.drawing.labels import visible
from analysis.lessons.lesson import Excerpt, Lesson, Option, Slider, Step
from analysis.lessons.sketches import sketch_address
from app import state
from app.panels.lessons import address
from app.widgets.figure_card import show_chart
from app.widgets.layout import side_by_side
from app.widgets.plain import plain


def step_page(lesson: Lesson, number: int, measured: Any) -> bool:
    """Draw a step; gives whether its answer is on screen."""
    step = lesson.steps[number]
    committed = address.predictions(lesson)[number]
    with st.container(key="lesson_question"):
        st.title(plain(step.question(measured)), anchor=False)
    left, right = side_by_side("lesson", [2.05, 1])
    with left:
        _pictures(lesson, number, step, measured, committed is not None)
    with right:
        _predictions(lesson, number, step, measured, committed)
    return committed is not None


def _pictures(lesson: Lesson, number: int, step: Step, measured: Any, is_answered: bool) -> None:
    slider = step.slider(measured)
    at = address.slider_at(lesson, number, slider)
    with st.container(border=True, key="card_lesson"):
        if step.excerpt is not None:
            _excerpt(step.excerpt(measured, at))
        for place, drawn in enumerate(step.draw(measured, at, is_answered, state.theme_name())):
            with st.container(key=f"titleline_lesson_{place}", horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{plain(drawn.title)}**", width="content")
                st.caption(plain(drawn.phrase), width="stretch")
            chart = drawn.chart if state.is_projector() else for_projector(drawn.chart, state.theme_name())
            show_chart(chart, alt=drawn.alt, key=f"lesson_chart_{place}")
        _control(lesson, number, slider, at)


def _excerpt(excerpt: Excerpt) -> None:
    before, after = (escape(" ".join(text.split())) for text in (excerpt.before, excerpt.after))
    if before.startswith("…"):
        before = f"… {before.partition(' ')[2]}"
    st.html(
        f'<p class="lesson-excerpt">{before} <b>{escape(visible(excerpt.token.strip(" ") or excerpt.token))}</b> {after}</p>'
    )


def _control(lesson: Lesson, number: int, slider: Slider, at: int) -> None:

    def step_by(by: int) -> None:
        address.place(lesson, number, min(max(at + by, slider.low), slider.high))

    def moved() -> None:
        address.place(
            lesson, number, st.session_state[state.lesson_widget(lesson.slug, number)], by_slider=True
        )

    with st.container(key="lesson_control", horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            f"Previous {slider.label}", icon=":material/chevron_left:", type="tertiary", key="lesson_previous", on_click=step_by, args=(-1,), shortcut="Left",
        )  # fmt: skip
        st.caption(slider.label, width="content")
        st.slider(
            slider.label,
            slider.low,
            slider.high,
            at,
            key=state.lesson_widget(lesson.slug, number),
            on_change=moved,
            label_visibility="collapsed",
        )
        st.button(
            f"Next {slider.label}", icon=":material/chevron_right:", type="tertiary", key="lesson_following", on_click=step_by, args=(1,), shortcut="Right",
        )  # fmt: skip


def _predictions(lesson: Lesson, number: int, step: Step, measured: Any, committed: int | None) -> None:
    chosen = address.chosen_option(lesson, number) if committed is None else committed
    finding = None if committed is None else step.find(measured)
    st.markdown("**Your prediction**" + (" first" if committed is None else ""))
    for place, option in enumerate(step.options):
        shown = finding.option == place if finding is not None else False
        choose = partial(address.choose_option, lesson, number, place) if committed is None else None
        _option(place, option, choose, is_chosen=chosen == place, is_shown=shown)
    if finding is None:
        st.button(
            "Show the answer",
            key="lesson_answer",
            type="primary",
            width="stretch",
            disabled=chosen is None,
            on_click=address.commit,
            args=(lesson, number, step.slider(measured).then),
            shortcut="Enter",
        )
        if any(option.sketch for option in step.options):
            st.caption(
                "Dashed is what you expect."
                + (" Pale is what is known." if len(step.options[0].sketch) > 1 else "")
            )
        return
    with st.container(key=f"lesson_said_{lesson.picture}"):
        st.markdown(plain(finding.said))
        if finding.option not in (None, step.point):
            st.caption(
                f"This lesson's point, “{plain(step.options[step.point].label)}”, does not hold here. It does on the lesson's own text."
                if lesson.needs != "seed"
                else f"This lesson's point, “{plain(step.options[step.point].label)}”, does not hold for this seed."
            )


def _option(
    place: int, option: Option, choose: Callable[[], None] | None, *, is_chosen: bool, is_shown: bool
) -> None:
    """A prediction as a card that is a button: the drawing, what it says, and after the answer whose it was."""
    kind = "_chosen" * is_chosen + "_shown" * is_shown
    with st.container(key=f"lesson_option{kind}_{place}"):
        drawing = (
            f'<img alt="" src="{sketch_address(option.sketch, state.theme_name())}">' if option.sketch else ""
        )
        mine = "<small><strong>your prediction</strong></small>" if is_chosen else ""
        right = "<small class=right><strong>✓ what was measured</strong></small>" if is_shown else ""
        st.html(
            f"<div class=lesson-option>{drawing}<div><b>{place + 1}&ensp;{escape(option.label)}</b>"
            f"<small>{escape(option.says)}</small>{mine}{right}</div></div>"
        )
        if choose is not None:
            st.button(
                f"Predict {place + 1}: {option.label}",
                key=f"lesson_predict_{place}",
                on_click=choose,
                shortcut=str(place + 1),
            )
