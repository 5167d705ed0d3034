"""The page of lessons without a browser: predictions first, everything in the address, nothing from strangers."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.lessons.registry import LESSONS
from app import state
from app.compute import requests as runs
from app.panels.lessons import view
from tests.app.conftest import shown


@pytest.fixture(autouse=True)
def _nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stored results are shown; what is measured live has tests of its own."""
    monkeypatch.setattr(view, "measure_where_missing", lambda lesson: None)


def words(at: Any) -> str:
    return shown(at) + "\n".join(element.proto.body for element in at.get("html"))


def test_the_list_names_all_and_starts_one(open_page):
    at = open_page("lessons")
    assert not at.exception
    assert all(lesson.title in words(at) for lesson in LESSONS.values())
    at = at.button(key="lesson_start_variety").click().run()
    assert not at.exception and at.query_params[state.LESSON] == "variety"
    assert "How large does that of token 0 get" in at.title[0].value


@pytest.mark.parametrize("slug", LESSONS)
def test_a_lesson_from_its_link_to_its_end(slug, open_page):
    lesson = LESSONS[slug]
    measured = lesson.stored()
    at = open_page("lessons", lesson=slug)
    for number, step in enumerate(lesson.steps):
        assert not at.exception and step.find(measured).said not in words(at)
        assert at.button(key="lesson_answer").disabled
        mine = step.point if number % 2 else (step.point + 1) % len(step.options)
        at = at.button(key=f"lesson_predict_{mine}").click().run()
        at = at.button(key="lesson_answer").click().run()
        assert not at.exception
        assert " ".join(step.find(measured).said.split()) in " ".join(words(at).split())
        assert "does not hold" not in words(at)
        at = at.button(key="lesson_next").click().run()
    assert not at.exception and at.title[0].value == "2 of 4 predictions came true"
    assert at.query_params[state.LESSON_STEP] == "5" and len(at.query_params[state.PREDICTED]) == 4


@pytest.mark.parametrize(
    "query",
    [
        {"lesson": "variety", "step": "99", "predicted": "9<b>x"},
        {"lesson": "variety", "step": "-1", "at": "1e9", "reads": "../../etc/passwd"},
        {"lesson": "forks", "step": "3", "predicted": "---٣", "at": "999999"},
        {"lesson": "reward", "reads": "99999999999", "step": "x"},
        {"lesson": "<script>", "step": "2"},
    ],
    ids=str,
)
def test_links_from_strangers_show_a_lesson_or_the_list(query, open_page):
    at = open_page("lessons", **query)
    assert not at.exception and not at.error and at.title


def test_a_link_to_a_text_of_another_session_says_so(open_page):
    at = open_page("lessons", lesson="first-token", step="2", reads="own")
    assert not at.exception and "not on this server" in shown(at)
    assert "In which of them do heads attend to token 0?" in at.title[0].value
    assert runs.engine().model_slot.info is None, "nothing was loaded"


def test_an_address_that_comes_late_moves_nobody(open_page):
    at = open_page("lessons", lesson="variety", step="5", predicted="1231")
    title = at.title[0].value
    at.query_params[state.LESSON_STEP] = "4"  # a poll was on its way when Next was pressed
    at = at.run()
    assert at.title[0].value == title and at.query_params[state.LESSON_STEP] == "5"
    at = at.button(key="lesson_leave").click().run()
    assert not at.exception and state.LESSON not in at.query_params
