"""Where a person is in a lesson and what was predicted: in the session, and in the address, so that a link brings it back.

The address alone would not do: a poll that was on its way when a button was pressed brings the older address along.
"""

from __future__ import annotations

import streamlit as st

from analysis.lessons.lesson import Lesson, Slider
from analysis.lessons.registry import LESSONS
from app import state
from app.examples import EXAMPLES

OWN = "own"
"""In the address: a text that only this session has."""
_NONE = "-"
_LARGEST_SEED = 9999


def _read(key: str, missing: str = "") -> str:
    """What the session holds under a key of the address; at first what the address says. Puts it back there."""
    held: str | None = st.session_state.setdefault(key, st.query_params.get(key))
    if st.query_params.get(key) != held:
        _write(key, held)
    return missing if held is None else held


def _write(key: str, value: str | None) -> None:
    st.session_state[key] = value
    if value is None:
        st.query_params.pop(key, None)
    else:
        st.query_params[key] = value


def chosen_lesson() -> Lesson | None:
    """The lesson that the address names."""
    return LESSONS.get(_read(state.LESSON, ""))


def step_number(lesson: Lesson) -> int:
    """The step, from 0; the number of steps is the last page."""
    text = _read(state.LESSON_STEP, "1")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 1
    return min(max(number, 1), len(lesson.steps) + 1) - 1


def predictions(lesson: Lesson) -> list[int | None]:
    """What was committed to in each step, counted from 0; None where nothing was."""
    text = _read(state.PREDICTED, "")
    found: list[int | None] = []
    for at, step in enumerate(lesson.steps):
        sign = text[at : at + 1]
        number = int(sign) - 1 if sign.isascii() and sign.isdigit() else -1
        found.append(number if 0 <= number < len(step.options) else None)
    return found


def commit(lesson: Lesson, number: int, then: int | None) -> None:
    """Put the chosen prediction into the address; the slider goes where the answer can be seen."""
    found = predictions(lesson)
    found[number] = chosen_option(lesson, number)
    _write(state.PREDICTED, "".join(_NONE if one is None else str(one + 1) for one in found))
    if then is not None:
        place(lesson, number, then)


def go(lesson: Lesson | None, number: int = 0) -> None:
    """Open a step of a lesson, or the list of lessons."""
    if lesson is None or lesson is not chosen_lesson():
        _write(state.PREDICTED, None)
        _write(state.LESSON_READS, None)
    _write(state.LESSON_AT, None)
    if lesson is None:
        _write(state.LESSON, None)
        _write(state.LESSON_STEP, None)
        return
    _write(state.LESSON, lesson.slug)
    _write(state.LESSON_STEP, str(number + 1))


def link(lesson: Lesson, number: int) -> str:
    """Address of a step for a class: without anybody's predictions."""
    reads = _read(state.LESSON_READS, "")
    more = f"&{state.LESSON_READS}={reads}" if reads and reads != OWN else ""
    return f"/lessons?{state.LESSON}={lesson.slug}&{state.LESSON_STEP}={number + 1}{more}"


def place(lesson: Lesson, number: int, at: int, *, by_slider: bool = False) -> None:
    """Move the slider of a step."""
    st.session_state[state.lesson_slider(lesson.slug, number)] = at
    if not by_slider:
        st.session_state[state.LESSON_TURN] = st.session_state.get(state.LESSON_TURN, 0) + 1
    _write(state.LESSON_AT, str(at))


def slider_at(lesson: Lesson, number: int, slider: Slider) -> int:
    """Where the slider of a step is: as it was moved, as the address says, or where it begins."""
    at = st.session_state.get(state.lesson_slider(lesson.slug, number))
    if at is None:
        text = _read(state.LESSON_AT, "")
        at = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else slider.start
    return min(max(int(at), slider.low), slider.high)


def chosen_option(lesson: Lesson, number: int) -> int | None:
    """The prediction of a step that is chosen but not committed to."""
    chosen: dict[tuple[str, int], int] = st.session_state.setdefault(state.LESSON_CHOSEN, {})
    option = chosen.get((lesson.slug, number))
    return option if option is not None and option < len(lesson.steps[number].options) else None


def choose_option(lesson: Lesson, number: int, option: int) -> None:
    """Choose a prediction."""
    st.session_state.setdefault(state.LESSON_CHOSEN, {})[lesson.slug, number] = option


def what_is_read(lesson: Lesson) -> str:
    """The text, prompt or seed that the answers are measured on."""
    reads = _read(state.LESSON_READS, "")
    if lesson.needs == "seed":
        whole = reads.isascii() and reads.isdigit() and len(reads) <= len(str(_LARGEST_SEED))
        return str(int(reads)) if whole else lesson.own
    if reads == OWN:
        text: str = st.session_state.get(state.LESSON_TEXT) or lesson.own
        return text
    return EXAMPLES[reads].text if lesson.needs == "text" and reads in EXAMPLES else lesson.own


def is_lost(lesson: Lesson) -> bool:
    """Whether the address names a text that only another session had."""
    own = _read(state.LESSON_READS) == OWN
    return lesson.needs != "seed" and own and not st.session_state.get(state.LESSON_TEXT)


def take(lesson: Lesson, own: str) -> None:
    """Measure something else from now on; predictions begin anew."""
    slug = next((example.slug for example in EXAMPLES.values() if example.text == own), None)
    _write(state.PREDICTED, None)
    _write(state.LESSON_AT, None)
    st.session_state[state.LESSON_CHOSEN] = {}
    for number in range(len(lesson.steps)):
        st.session_state.pop(state.lesson_slider(lesson.slug, number), None)
    if own == lesson.own:
        _write(state.LESSON_READS, None)
    elif lesson.needs == "seed":
        _write(state.LESSON_READS, own)
    elif lesson.needs == "text" and slug is not None:
        _write(state.LESSON_READS, slug)
    else:
        st.session_state[state.LESSON_TEXT] = own
        _write(state.LESSON_READS, OWN)
