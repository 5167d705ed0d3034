"""Nothing that a person typed or pressed is lost where the app and the browser write at the same time."""

from __future__ import annotations

import pytest
import streamlit as st

from app import state
from app.examples import EXAMPLES
from app.widgets import bar
from tests.app.conftest import text_field
from tests.app.test_pages import press_run, result

OWN = "A text of my own."


@pytest.mark.parametrize(
    ("page", "name"),
    [("token_entropy", state.TEXT), ("write", state.MESSAGE), ("visual_tokens", state.LOOK_QUESTION)],
)
def test_the_browser_is_never_told_a_text_for_a_field_that_it_has(open_page, page, name):
    at = open_page(page)
    for _ in range(2):
        told = text_field(at, name).proto
        assert not told.set_value and len(told.default) > 10
        at = at.run()
    told = text_field(text_field(at, name).set_value(OWN).run(), name).proto
    assert not told.set_value and told.default == OWN


def test_what_is_filled_in_is_a_new_field_and_the_old_one_is_gone(open_page):
    at = text_field(open_page("token_entropy"), state.TEXT).set_value(OWN).run()
    old = text_field(at, state.TEXT)
    at = at.menu_button(key=state.FILL_IN).click("code").run()
    new = text_field(at, state.TEXT)
    assert new.proto.id != old.proto.id and new.key != old.key and old.key not in at.session_state
    assert not new.proto.set_value and new.proto.default == new.value == EXAMPLES["code"].text


def _cut_once(monkeypatch) -> None:
    """The next script run ends before it comes to the button, as one does that the browser asks to begin anew."""
    drawn, cuts = bar.form_popover, iter([True])

    def cut(*arguments, **options):
        if next(cuts, False):
            st.rerun()
        return drawn(*arguments, **options)

    monkeypatch.setattr(bar, "form_popover", cut)


def test_run_is_obeyed_where_its_script_run_is_cut_short(open_page, finish, monkeypatch):
    at = text_field(finish(open_page("token_entropy")), state.TEXT).set_value(OWN).run()
    _cut_once(monkeypatch)
    assert result(finish(press_run(at))).text == OWN


def test_a_press_counts_once_and_for_its_own_page(open_page, finish, submitted):
    at = finish(open_page("token_entropy"))
    at.session_state[state.PRESSED] = ("run_button", "Write")
    at = text_field(at, state.TEXT).set_value(OWN).run()
    assert state.PRESSED not in at.session_state and result(at).text != OWN
    before = len(submitted)
    at = finish(finish(press_run(at)))
    assert len(submitted) == before + 1 and result(at).text == OWN
