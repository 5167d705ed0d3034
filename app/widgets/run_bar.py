"""The bar at the head of every page: the model, the text, what happens to them, and Run."""

from __future__ import annotations

import streamlit as st

from analysis.drawing.numbers import count
from analysis.errors import AnalysisError
from analysis.models.spec import EMBEDDED
from app import state
from app.compute import requests as runs
from app.compute.job import Job
from app.examples import example_of
from app.widgets.bar import bar, words
from app.widgets.checks import checks
from app.widgets.messages import show_error
from app.widgets.plain import plain
from app.widgets.run_status import finished_run, is_file_opened, run_again_if_dropped, wanted_job, watch_run
from app.widgets.text_field import fill_in, text_of
from app.widgets.text_form import run_request, text_and_address, text_form, text_options
from app.widgets.trace_files import trace_files

_MAX_TEXT_MB = 10


def run_bar(*, shows_run: bool = True) -> None:
    """Draw the bar; pressing Run puts the request into the session.

    Parameters
    ----------
    shows_run : bool
        Whether the page draws a run: then a first visit runs the example unasked, and the bar says whether the
        pictures are of the text in it.
    """
    run_again_if_dropped()
    text_and_address()
    middle, pressed = bar(text_form, text_options, _files)
    wanted, problem = run_request(), None
    if isinstance(wanted, AnalysisError):
        if pressed:
            st.session_state[state.REFUSED] = wanted.message
        problem = wanted if st.session_state.get(state.REFUSED) == wanted.message else None
    elif pressed or (shows_run and _is_first_visit() and _is_safe_to_start(wanted)):
        problem = start_run(wanted)
    with middle:
        _what_happens(wanted, shows_run)
    job = wanted_job()
    if problem is None and job is not None and not is_file_opened():
        problem = job.error
    if problem is not None:
        show_error(problem)


def _what_happens(wanted: runs.RunRequest | AnalysisError, shows_run: bool) -> None:
    """Progress while a run goes; else the text, and whether the pictures are of it."""
    job = wanted_job()
    if job is not None and job.is_live:
        watch_run(job.key)
        return
    words(text_of(state.TEXT))
    note = _about_the_pictures(job, wanted) if shows_run else ""
    trace = finished_run()
    if note:
        st.caption(note, width="content")
    elif trace is not None:
        st.caption(f"{count(len(trace.tokens))} tokens", width="content")
    if trace is not None:
        checks(trace)


def _about_the_pictures(job: Job | None, wanted: runs.RunRequest | AnalysisError) -> str:
    """What the pictures show, where it is not the run of the text in the bar."""
    if is_file_opened():
        return "The pictures show an opened file."
    if job is None:
        return "The pictures show an example. Press Run for yours."
    if job.state == "cancelled":
        return "The run was cancelled. Press Run to start it again."
    if job.state == "failed" or wanted != st.session_state[state.RUN]:
        last = "an example" if finished_run() is None else "the last run"
        reason = "The run failed" if job.state == "failed" else "Text or options changed"
        return f"{reason}, the pictures show {last}."
    return ""


def _files() -> None:
    trace_files()
    st.file_uploader(
        "Read a text file",
        type=["txt", "md"],
        key=state.TEXT_FILE,
        max_upload_size=_MAX_TEXT_MB,
        on_change=_take_text,
        help="UTF-8. Its line ends are read as they are, until the text is edited here.",
    )


def start_run(request: runs.RunRequest) -> AnalysisError | None:
    """Ask for a run, which then is the one on screen, or say why it is refused."""
    try:
        runs.submit(request)
    except AnalysisError as error:
        return error
    if request != st.session_state.get(state.RUN):
        for key in st.session_state.pop(state.BACKGROUND, ()):
            runs.cancel(key)  # nobody looks at them any more, and the new run waits for them
    st.session_state[state.RUN] = request
    st.session_state.pop(state.OPENED, None)
    return None


def _is_first_visit() -> bool:
    """Whether nothing was run and nothing is opened: a branch of the page Write may be."""
    return state.RUN not in st.session_state and not is_file_opened()


def _is_safe_to_start(request: runs.RunRequest) -> bool:
    """Whether opening the page may run it unasked: only a built-in text on the embedded model.

    A link must not make a visitor's machine fetch a model or read a file.
    """
    return (
        request.model.kind == EMBEDDED
        and request.model.adapter is None
        and example_of(request.text) is not None
    )


def _take_text() -> None:
    """Put an uploaded text into the form."""
    upload = st.session_state.get(state.TEXT_FILE)
    if upload is None:
        return
    try:
        text = upload.getvalue().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        show_error(
            AnalysisError(f"{plain(upload.name)} is not UTF-8 (byte {error.start:,}).", "Convert it first.")
        )
        return
    fill_in(state.TEXT, text)
