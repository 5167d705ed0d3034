"""A session is opened on every page that it holds something for, and says what it could not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.comparison.comparison_file import load_comparison
from analysis.results.trace_file import load_trace
from analysis.session_file import Session, session_bytes
from analysis.writing.writing_file import load_writing
from app import state
from tests.app.conftest import shown

APP = Path(__file__).parents[2] / "app"


@pytest.mark.parametrize("page", ["token_entropy", "write", "compare"])
def test_a_session_is_opened_anywhere(page, open_page, loads):
    at = open_page(page)
    held = Session(
        load_trace(APP / "example.trace"),
        load_writing(APP / "example.writing"),
        load_comparison(APP / "example.compare"),
        ("training logs",),
    )
    upload = next(one for one in at.get("file_uploader") if one.key == "open_session")
    upload.set_value(("a.session", session_bytes(held), "application/octet-stream"))
    at = at.run()
    assert not at.exception and not at.error
    assert at.session_state[state.OPENED].spec == held.run.spec
    assert at.session_state[state.WRITING].branches[0].ids.tolist() == held.tree.branches[0].ids.tolist()
    assert at.session_state[state.COMPARISON].a.text == held.comparison.a.text
    assert "Not in the file: training logs." in shown(at)


def test_another_file_is_one_box(open_page):
    at = open_page("write")
    upload = next(one for one in at.get("file_uploader") if one.key == "open_session")
    upload.set_value(("a.session", b"PK\x03\x04", "application/octet-stream"))
    at = at.run()
    assert not at.exception
    assert [e.value.replace("\\", "").split("  ")[0] for e in at.error] == [
        "a.session is not a session file."
    ]
