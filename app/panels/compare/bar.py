"""The bar of the page Compare: both sides, what is being compared, and Run both."""

from __future__ import annotations

import streamlit as st

from analysis.drawing.numbers import count, duration, size
from analysis.errors import AnalysisError
from app import state
from app.compute import comparing
from app.compute import requests as runs
from app.compute.comparing import CompareRequest
from app.panels.compare import running
from app.panels.compare.files import compare_files
from app.panels.compare.form import begin_form, compare_form
from app.panels.compare.request import KINDS, compare_request, kind_chosen
from app.widgets.bar import bar, words
from app.widgets.checks import checks_popover
from app.widgets.messages import show_error
from app.widgets.plain import plain
from app.widgets.run_status import is_file_opened, watch_run
from app.widgets.text_field import text_of
from app.widgets.text_form import text_and_address, text_options

_BEFORE = 8
"""Characters in front of the first difference that stay in sight."""


def compare_bar() -> None:
    """Draw the bar; pressing Run both asks for a comparison."""
    text_and_address()
    begin_form()
    running.take_finished()
    middle, pressed = bar(_form, text_options, compare_files, button="Run both")
    wanted = compare_request()
    if pressed:
        if isinstance(wanted, CompareRequest):
            running.start(wanted)
        else:
            st.session_state[state.COMPARE_SAID] = wanted
    with middle:
        _what_happens(wanted)
    problem = st.session_state.get(state.COMPARE_SAID)
    if problem is not None:
        show_error(problem)


def _form() -> None:
    compare_form()
    wanted = compare_request()
    if isinstance(wanted, AnalysisError):
        st.caption(f"{plain(wanted.message)} {plain(wanted.hint)}")
        return
    if wanted.run is None or runs.engine().model_slot.spec != wanted.run.model:
        return
    try:
        plan = comparing.estimate_comparison(wanted, **running.runs_that_are_there(wanted))
    except AnalysisError:
        return  # said in full when the person presses Run both
    time = "" if plan.seconds is None else f"{duration(plan.seconds)} · "
    fits = "" if plan.fits else " · does not fit into memory"
    st.caption(f"Both sides: {time}{size(plan.bytes_needed)} beside the weights{fits}")


def _parting(text: str, other: str) -> int:
    """Where the word before the first difference of two texts begins; 0 where it is in sight anyway."""
    both = min(len(text), len(other))
    shared = next((i for i in range(both) if text[i] != other[i]), both)
    return text.rfind(" ", 0, max(0, shared - _BEFORE)) + 1


def _from(text: str, begin: int) -> str:
    return f"…{text[begin:]}" if begin else text


def _what_happens(wanted: CompareRequest | AnalysisError) -> None:
    """Progress while two sides are compared; else what both are, and whether the pictures are of it."""
    job = running.live_job()
    if job is not None:
        watch_run(job.key)
        return
    kind = kind_chosen()
    text = text_of(state.TEXT)
    other = text_of(state.change_text(kind))
    begin = _parting(text, other) if kind == "text" else 0
    st.markdown(":blue[**A**]", width="content")
    words("an opened run" if is_file_opened() else _from(text, begin))
    st.markdown(":orange[**B**]", width="content")
    if kind == "text":
        words(_from(other, begin), "b")
    else:
        words(f"A, {KINDS[kind].label}", "b", quoted=False)
    if running.is_example():
        st.caption("Example shown", width="content", help="Press Run both for yours.")
        return
    c = running.shown().c
    if wanted != st.session_state.get(state.COMPARED_REQUEST):
        st.caption("Changed: last comparison shown", width="content")
    else:
        st.caption(f"{count(len(c.a.tokens))} + {count(len(c.b.tokens))} tokens", width="content")
    place = checks_popover(
        c.checks,
        (*c.notes, *c.alignment.notes),
        f"A: {c.a.spec.subtitle}. B: {c.b.spec.subtitle}.",
        "What this comparison and both of its runs checked about themselves",
    )
    place.caption(plain(c.vocabulary.why))
