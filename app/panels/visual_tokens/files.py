"""Keep an answer as a file, or open one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.errors import AnalysisError
from app import state
from app.panels.visual_tokens import running
from app.widgets.report_button import report_button

if TYPE_CHECKING:
    from analysis.visual_tokens.results import VisualAnswer

_MAX_UPLOAD_MB = 500


def answer_files() -> None:
    """Draw the controls behind the icon File."""
    a = running.shown()
    st.download_button(
        "Save this answer",
        lambda: _content(a),
        file_name="answer.look",
        mime="application/octet-stream",
        key="save_look",
        on_click="ignore",
        help="The picture, encoded anew without metadata, the question and all numbers. It opens here without a model.",
    )
    report_button("Report of this answer", a, name="answer")
    st.file_uploader(
        "Open an answer",
        type="look",
        key=state.LOOK_FILE,
        max_upload_size=_MAX_UPLOAD_MB,
        help="A file saved here.",
        on_change=_take,
    )


def _take() -> None:
    """Put an uploaded answer on screen."""
    upload = st.session_state.get(state.LOOK_FILE)
    st.session_state.pop(state.LOOK_SAID, None)
    if upload is None:
        return
    from analysis.visual_tokens.answer_file import answer_from_bytes

    try:
        running.show(answer_from_bytes(upload.getvalue(), upload.name), None)
    except AnalysisError as problem:
        st.session_state[state.LOOK_SAID] = problem


def _content(a: VisualAnswer) -> bytes:
    from analysis.visual_tokens.answer_file import answer_bytes

    return answer_bytes(a)
