"""The bar at the head of every page: the model, the text, what happens to them, and Run."""

from __future__ import annotations

import streamlit as st

from analysis.drawing.numbers import count, duration, size
from analysis.errors import AnalysisError
from analysis.models.spec import EMBEDDED
from analysis.models.tokenization import BOS_CHOICES
from app import state
from app.compute import requests as runs
from app.examples import DEFAULT, EXAMPLES
from app.widgets.checks import checks
from app.widgets.messages import show_error
from app.widgets.model_choice import model_choice, model_label, model_spec
from app.widgets.plain import plain
from app.widgets.run_status import asked_job, finished_run, run_again_if_dropped, watch_run
from app.widgets.trace_files import trace_files

_OWN = "own text"
_MAX_TEXT_MB = 10
_SLOW_SECONDS = 10
_ESTIMATED_CHARACTERS = 200_000
"""Longer texts are only tokenized when they are run: doing it twice would take seconds."""
_SHOWN_CHARACTERS = 160
"""Of the text, in the bar."""


def run_bar(*, starts: bool = True) -> None:
    """Draw the bar; pressing Run puts the request into the session.

    Parameters
    ----------
    starts : bool
        Whether a first visit runs the example unasked. Not where the page draws something else.
    """
    if state.TEXT not in st.session_state:
        _fill_in_example()
    run_again_if_dropped()
    with st.container(key="run_bar", border=True, horizontal=True, vertical_alignment="center", gap="xsmall"):
        with st.popover(model_label(), key="model_choice", help="Model, device and precision"):
            model_choice()
        middle = st.container(key="run_bar_text", horizontal=True, vertical_alignment="center", gap="small")
        with st.popover("Edit", icon=":material/edit:", type="tertiary", key=state.EDIT, on_change="rerun"):
            _form()
        with st.popover("", icon=":material/tune:", type="tertiary", help="Options", key="run_options"):
            _options()
        with st.popover("", icon=":material/folder_open:", type="tertiary", help="File", key="run_files"):
            trace_files()
            st.file_uploader(
                "Read a text file",
                type=["txt", "md"],
                key=state.TEXT_FILE,
                max_upload_size=_MAX_TEXT_MB,
                on_change=_take_text,
                help="UTF-8. Its line ends are read as they are, until the text is edited here.",
            )
        pressed = st.button("Run", type="primary", key="run_button", on_click=_close_form)
    wanted, problem = _request(), None
    if isinstance(wanted, AnalysisError):
        problem = wanted if pressed else None
    elif pressed or (starts and state.RUN not in st.session_state and _is_safe_to_start(wanted)):
        problem = _start(wanted)
    with middle:
        _what_happens(wanted)
    job = asked_job()
    if problem is None and job is not None and state.OPENED not in st.session_state:
        problem = job.error
    if problem is not None:
        show_error(problem)


def _what_happens(wanted: runs.RunRequest | AnalysisError) -> None:
    """Progress while a run goes; else the text, and whether the pictures are of it."""
    job = asked_job()
    if job is not None and job.is_live:
        watch_run(job.key)
        return
    text = " ".join((st.session_state.get(state.TEXT) or "").split())
    shown = f"“{text[:_SHOWN_CHARACTERS]}{'…' * (len(text) > _SHOWN_CHARACTERS)}”" if text else "no text"
    with st.container(key="run_bar_words"):
        st.text(shown, wrap=False)
    if state.OPENED in st.session_state:
        st.caption("The pictures show an opened file.", width="content")
    elif job is None:
        st.caption("The pictures show an example. Press Run for yours.", width="content")
    elif job.state == "cancelled":
        st.caption("The run was cancelled. Press Run to start it again.", width="content")
    elif job.state == "failed" or wanted != st.session_state[state.RUN]:
        last = "an example" if finished_run() is None else "the last run"
        reason = "The run failed" if job.state == "failed" else "Text or options changed"
        st.caption(f"{reason}, the pictures show {last}.", width="content")
    trace = finished_run()
    if trace is not None:
        st.caption(f"{count(len(trace.tokens))} tokens", width="content")
        checks(trace)


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
    with st.container(key="run_form"):
        st.selectbox(
            "Example",
            [*EXAMPLES, _OWN],
            key=state.EXAMPLE,
            bind="query-params",
            on_change=_fill_in_example,
            help="Pick an example or write your own below.",
        )
        st.text_area(
            "Text to read",
            key=state.TEXT,
            height=240,
            label_visibility="collapsed",
            placeholder="Type or paste a text, then press Run.",
            persist_state="session",
            on_change=_own_text,
        )
        _hint_or_estimate(_request())


def _close_form() -> None:
    st.session_state[state.EDIT] = False


def _is_safe_to_start(request: runs.RunRequest) -> bool:
    """Whether opening the page may run it unasked: only a built-in text on the embedded model.

    A link must not make a visitor's machine fetch a model or read a file.
    """
    model = request.model
    return (
        model.kind == EMBEDDED
        and model.adapter is None
        and request.text in {e.text for e in EXAMPLES.values()}
    )


def _fill_in_example() -> None:
    slug = st.session_state.get(state.EXAMPLE, DEFAULT)
    if slug in EXAMPLES:
        st.session_state[state.TEXT] = EXAMPLES[slug].text
    elif state.TEXT not in st.session_state:
        st.session_state[state.TEXT] = ""


def _own_text() -> None:
    if st.session_state[state.TEXT] not in {e.text for e in EXAMPLES.values()}:
        st.session_state[state.EXAMPLE] = _OWN


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
    st.session_state[state.TEXT], st.session_state[state.EXAMPLE] = text, _OWN


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
    example = EXAMPLES.get(st.session_state.get(state.EXAMPLE, DEFAULT))
    st.caption(plain(example.hint) if example else "")
