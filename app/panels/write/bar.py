"""The bar of the page Write: the prompt, what is being written, Write, and many answers at once."""

from __future__ import annotations

import streamlit as st

from analysis.drawing.numbers import count, size
from analysis.errors import AnalysisError
from analysis.writing.compare import label_of
from app import state
from app.panels.write import other_pages, running
from app.panels.write.files import writing_files
from app.panels.write.form import prompt_form, write_options
from app.panels.write.request import WriteRequest, begin_form, n_answers, write_request
from app.widgets.bar import bar, close_form, words
from app.widgets.checks import checks_popover
from app.widgets.messages import show_error
from app.widgets.run_status import watch_run


def write_bar() -> None:
    """Draw the bar; pressing Write asks for text."""
    begin_form()
    running.take_finished()
    middle, pressed = bar(prompt_form, write_options, writing_files, button="Write", beside=_answers)
    wanted = write_request()
    if pressed:
        if isinstance(wanted, WriteRequest):
            running.start_new(wanted)
        else:
            st.session_state[state.WRITING_SAID] = wanted
    with middle:
        _what_happens(wanted)
    problem = st.session_state.get(state.WRITING_SAID)
    if problem is not None:
        show_error(problem)


def _answers() -> None:
    n = n_answers()
    st.button(
        f"Write {n} answers",
        icon=":material/casino:",
        key="answers_button",
        on_click=_many,
        help=f"{n} texts for this prompt, written side by side; without a sampler at temperature 1.",
    )


def _many() -> None:
    close_form()
    wanted = write_request()
    if isinstance(wanted, WriteRequest):
        running.start_answers(wanted, n_answers())
    else:
        st.session_state[state.WRITING_SAID] = wanted


def _what_happens(wanted: WriteRequest | AnalysisError) -> None:
    """Progress while something is written or read; else the prompt, and whether the pictures are of it."""
    job = running.live_job() or other_pages.trace_job()
    if job is not None:
        watch_run(job.key, "Stop")
        return
    words(wanted.shown if isinstance(wanted, WriteRequest) else "")
    if running.is_example():
        st.caption("The pictures show an example. Press Write for yours.", width="content")
        return
    writing = running.shown_writing()
    n = len(writing.branches)
    st.caption(
        f"{count(len(writing.prompt.ids))} tokens of prompt · {count(n)} branch{'es' * (n > 1)}",
        width="content",
    )
    this = writing.branches[running.shown_branch()]
    if this.checks:
        memory = st.session_state.get(state.WRITE_MEMORY)
        place = checks_popover(
            this.checks,
            writing.notes,
            f"{writing.model} · {writing.dtype} · {label_of(this)} against reading its tokens at once",
            "Whether the numbers of this branch are those of reading it again",
        )
        if memory is not None:
            place.caption(
                f"Caches of {count(memory.count)} branches: {size(memory.held)}. Beyond {size(memory.limit)} the oldest go "
                "first, but not the newest; a branch without one is read again when something leaves it."
            )
