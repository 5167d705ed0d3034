"""The bar at the head of every page: the model, the text, what happens to them, and Run."""

from __future__ import annotations

import streamlit as st

from analysis.drawing.numbers import count, duration, size
from analysis.errors import AnalysisError
from analysis.models.spec import EMBEDDED
from analysis.models.tokenization import BOS_CHOICES
from app import state
from app.compute import requests as runs
from app.compute.job import Job
from app.examples import DEFAULT, EXAMPLES, example_of
from app.widgets.bar import bar, words
from app.widgets.checks import checks
from app.widgets.messages import show_error
from app.widgets.model_choice import model_spec
from app.widgets.plain import plain
from app.widgets.run_status import finished_run, is_file_opened, run_again_if_dropped, wanted_job, watch_run
from app.widgets.trace_files import trace_files

_OWN = "own text"
_MAX_TEXT_MB = 10
_SLOW_SECONDS = 10
_ESTIMATED_CHARACTERS = 200_000
"""Longer texts are only tokenized when they are run: doing it twice would take seconds."""


def run_bar(*, shows_run: bool = True) -> None:
    """Draw the bar; pressing Run puts the request into the session.

    Parameters
    ----------
    shows_run : bool
        Whether the page draws a run: then a first visit runs the example unasked, and the bar says whether the
        pictures are of the text in it.
    """
    run_again_if_dropped()
    _text_and_address()
    middle, pressed = bar(_form, _options, _files)
    wanted, problem = _request(), None
    if isinstance(wanted, AnalysisError):
        if pressed:
            st.session_state[state.REFUSED] = wanted.message
        problem = wanted if st.session_state.get(state.REFUSED) == wanted.message else None
    elif pressed or (shows_run and _is_first_visit() and _is_safe_to_start(wanted)):
        problem = _start(wanted)
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
    words(st.session_state.get(state.TEXT) or "")
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


def _start(request: runs.RunRequest) -> AnalysisError | None:
    """Ask for a run, or say why it is refused."""
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


def _form() -> None:
    """Example, text, and what a run of it will cost."""
    st.menu_button(
        "Fill in an example",
        list(EXAMPLES),
        key=state.FILL_IN,
        format_func=lambda slug: EXAMPLES[slug].title,
        on_click=_fill_in,
    )
    st.text_area(
        "Text to read",
        key=state.TEXT,
        height=240,
        label_visibility="collapsed",
        placeholder="Type or paste a text, then press Run.",
        persist_state="session",
    )
    _hint_or_estimate(_request())


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


def _fill_in() -> None:
    st.session_state[state.TEXT] = EXAMPLES[st.session_state[state.FILL_IN]].text


def _text_and_address() -> None:
    """Begin with the example that the address names, and name in it the one that the text is."""
    named = st.query_params.get(state.EXAMPLE, DEFAULT)
    if state.TEXT not in st.session_state:
        st.session_state[state.TEXT] = "" if named == _OWN else EXAMPLES.get(named, EXAMPLES[DEFAULT]).text
    example = example_of(st.session_state[state.TEXT])
    slug = _OWN if example is None else example.slug
    if slug == DEFAULT:
        st.query_params.pop(state.EXAMPLE, None)
    elif slug != named:
        st.query_params[state.EXAMPLE] = slug


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
    st.session_state[state.TEXT] = text


def _options() -> None:
    st.selectbox(
        "Beginning-of-text token",
        BOS_CHOICES,
        key=state.BOS,
        bind="query-params",
        help="auto: as the tokenizer does. Without one, the first token has nothing before it: no context, no number.",
    )
    st.toggle(
        "Read special tokens in the text",
        True,
        key=state.PARSE_SPECIAL,
        bind="query-params",
        help="Off: <|im_end|> in the text is read as plain letters.",
    )
    windows = st.toggle(
        "Read long texts in windows",
        key=state.WINDOWS,
        bind="query-params",
        help="For texts beyond the model's context. Each token then sees only its own window.",
    )
    st.number_input(
        "Stride, tokens",
        1.0,  # floats, because Streamlit fails on a link with an infinite whole number
        1e6,
        2048.0,
        1.0,
        "%.0f",
        key=state.STRIDE,
        disabled=not windows,
        bind="query-params",
        help="From one window's start to the next. A token sees at least the window less the stride.",
    )


def _request() -> runs.RunRequest | AnalysisError:
    try:
        model = model_spec()
    except AnalysisError as error:
        return error
    return runs.RunRequest(
        model,
        st.session_state.get(state.TEXT) or "",
        st.session_state.get(state.BOS, "auto"),
        bool(st.session_state.get(state.PARSE_SPECIAL, True)),
        int(st.session_state.get(state.STRIDE, 2048)) if st.session_state.get(state.WINDOWS) else None,
        runs.LENS_IF_CHEAP,
    )


def _hint_or_estimate(request: runs.RunRequest | AnalysisError) -> None:
    """One line beside the button: what a run will cost, else what to look for."""
    is_short = isinstance(request, runs.RunRequest) and len(request.text) <= _ESTIMATED_CHARACTERS
    if isinstance(request, runs.RunRequest) and is_short and runs.engine().model_slot.spec == request.model:
        try:
            plan = runs.estimate(request.key, 0, request)
        except AnalysisError:
            plan = None  # said in full when the person presses Run
        if plan is not None:
            note = f"{count(plan.n_tokens)} tokens · {duration(plan.seconds)} · {size(plan.bytes_needed)} beside the weights"
            if not plan.fits:
                note += " · does not fit into memory"
            elif plan.seconds > _SLOW_SECONDS:
                note = f"A longer run: {note}"
            st.caption(note)
            return
    example = example_of(st.session_state.get(state.TEXT) or "")
    st.caption(plain(example.hint) if example else "")
