"""A session is opened on every page that it holds something for, and says what it could not hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st

from analysis.comparison.comparison_file import load_comparison
from analysis.pruning_effects.eviction.sweep_file import sweep_bytes
from analysis.results.trace_file import load_trace
from analysis.session_file import Session, session_bytes
from analysis.writing.writing_file import load_writing
from app import state
from app.panels.pruning_effects.eviction.view import PICTURES
from app.widgets import session_files
from tests.app.conftest import shown
from tests.figures.synthetic_sweep import sweep
from tests.visual_answers import made_answer

APP = Path(__file__).parents[2] / "app"


@pytest.mark.parametrize("page", ["token_entropy", "write", "compare"])
def test_a_session_is_opened_anywhere(page, open_page, loads):
    at = open_page(page)
    held = Session(
        load_trace(APP / "example.trace"),
        load_writing(APP / "example.writing"),
        load_comparison(APP / "example.compare"),
        ("training logs",),
        sweep(),
        made_answer(),
    )
    at = opened(at, held)
    assert not at.exception and not at.error
    assert at.session_state[state.OPENED].spec == held.run.spec
    assert at.session_state[state.WRITING].branches[0].ids.tolist() == held.tree.branches[0].ids.tolist()
    assert at.session_state[state.COMPARISON].a.text == held.comparison.a.text
    assert sweep_bytes(at.session_state[state.OPENED_SWEEP][0]) == sweep_bytes(held.sweep)
    assert at.session_state[state.LOOK].text == held.answer.text
    assert "Not in the file: training logs." in shown(at)


def opened(at, held):
    """The page after a session was opened on it."""
    upload = next(one for one in at.get("file_uploader") if one.key == "open_session")
    upload.set_value(("a.session", session_bytes(held), "application/octet-stream"))
    return at.run()


@pytest.mark.parametrize("picture", PICTURES)
def test_an_opened_sweep_is_drawn_without_a_model(picture, open_page, submitted, files):
    at = open_page("pruning_effects", pictures=picture)
    files.codes.clear()
    at = opened(at, Session(run=load_trace(APP / "example.trace"), sweep=sweep(n_answer=2)))
    assert not at.exception and not at.error
    assert not [key for key in submitted if key.startswith("eviction")]
    said = shown(at)
    assert "From the opened file: some" in said
    assert ("Costs and tests: not available" in said) == (picture in ("cost", "tests"))
    for name, code in files.codes.items():
        compile(code, name, "exec")
        assert "an.load_session(" in code


def test_an_opened_sweep_goes_with_its_run(open_page):
    run = load_trace(APP / "example.trace")
    at = opened(open_page("pruning_effects"), Session(run=run, sweep=sweep()))
    at.session_state[state.OPENED] = load_trace(APP / "example.trace")
    at = at.run()
    assert not at.exception and "From the opened file" not in shown(at)


def test_what_is_on_screen_is_what_is_saved(open_page, monkeypatch):
    held = Session(load_trace(APP / "example.trace"), sweep=sweep(), answer=made_answer())
    made = []
    monkeypatch.setattr(session_files, "_content", lambda session: made.append(session) or b"")
    monkeypatch.setattr(
        st, "download_button", lambda label, data, **_o: data() if label == "Save the session" else None
    )
    opened(open_page("pruning_effects"), held)
    assert session_bytes(made[-1]) == session_bytes(held)


def test_another_file_is_one_box(open_page):
    at = open_page("write")
    upload = next(one for one in at.get("file_uploader") if one.key == "open_session")
    upload.set_value(("a.session", b"PK\x03\x04", "application/octet-stream"))
    at = at.run()
    assert not at.exception
    assert [e.value.replace("\\", "").split("  ")[0] for e in at.error] == [
        "a.session is not a session file."
    ]
