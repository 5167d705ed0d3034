"""The bar of the page: the model, the picture in words, the question, Run."""

from __future__ import annotations

import streamlit as st

from analysis.drawing.numbers import count
from analysis.errors import AnalysisError
from app import state
from app.compute.looking import VisualRequest
from app.panels.visual_tokens import running
from app.panels.visual_tokens.files import answer_files
from app.panels.visual_tokens.form import answer_options, picture_form
from app.panels.visual_tokens.request import begin_form, png_of, visual_request
from app.panels.visual_tokens.vision_model import vision_choice, vision_label
from app.widgets.bar import bar, words
from app.widgets.checks import checks_popover
from app.widgets.messages import show_error
from app.widgets.run_status import watch_run


def visual_bar() -> None:
    """Draw the bar; pressing Run asks the question."""
    begin_form()
    running.take_finished()
    middle, pressed = bar(picture_form, answer_options, answer_files, model=(vision_label, vision_choice))
    wanted = visual_request()
    if pressed:
        _start(wanted)
    with middle:
        _what_happens(wanted)
    problem = st.session_state.get(state.LOOK_SAID)
    if problem is not None:
        show_error(problem)


def _start(wanted: VisualRequest | AnalysisError) -> None:
    if isinstance(wanted, VisualRequest):
        try:
            running.start(wanted, png_of(wanted))
            return
        except AnalysisError as gone:
            wanted = gone
    st.session_state[state.LOOK_SAID] = wanted


def _what_happens(wanted: VisualRequest | AnalysisError) -> None:
    """Progress while a question is answered; else picture and question, and whether what is drawn is of them."""
    job = running.live_job()
    if job is not None:
        watch_run(job.key)
        return
    a = running.shown()
    if isinstance(wanted, VisualRequest):
        scene = "your picture" if wanted.scene is None else f"scene {count(wanted.scene)}"
        st.caption(scene, width="content")
        words(wanted.question)
    else:
        words(wanted.message, quoted=False)
    if wanted != running.request_shown():
        st.caption("Example shown" if running.is_example() else "Changed: last answer shown", width="content")
        return
    st.caption(
        "Example" if running.is_example() else f"{count(a.spec.n_visual)} visual tokens", width="content"
    )
    checks_popover(
        a.checks,
        (*a.picture.notes, *a.notes, *(f"{what}: {why}" for what, why in a.unavailable.items())),
        a.spec.subtitle,
        "What this answer checked about itself",
    )
