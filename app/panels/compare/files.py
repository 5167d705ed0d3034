"""Keep a comparison as a file, open one, or open a run of another machine as side B."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.errors import AnalysisError
from app import state
from app.panels.compare import running
from app.widgets.report_button import report_button
from app.widgets.trace_files import trace_files

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison

_MAX_UPLOAD_MB = 500


def compare_files() -> None:
    """Draw the controls behind the icon File."""
    c = running.shown().source
    st.download_button(
        "Save this comparison",
        lambda: _content(c),
        file_name="run.compare",
        mime="application/octet-stream",
        key="save_comparison",
        on_click="ignore",
        help="Both runs, how they are aligned, and all numbers in one file. It opens here without a model.",
    )
    report_button("Report of this comparison", c, name="comparison")
    _field("Open a comparison", "compare", state.COMPARE_UPLOAD, "A file saved here.", _take_comparison)
    _field("Open a run as side B", "trace", state.SECOND_UPLOAD, "A trace file of any machine.", _take_run)
    trace_files()


def _field(label: str, ending: str, key: str, tip: str, take: Callable[[], None]) -> None:
    st.file_uploader(label, type=ending, key=key, max_upload_size=_MAX_UPLOAD_MB, help=tip, on_change=take)


def _take_comparison() -> None:
    """Put an uploaded comparison on screen."""
    from analysis.comparison.comparison_file import comparison_from_bytes

    opened = _opened(state.COMPARE_UPLOAD, comparison_from_bytes)
    if opened is not None:
        running.show(opened)
        st.session_state[state.COMPARED_REQUEST] = None


def _take_run() -> None:
    """Make an uploaded run side B."""
    from analysis.results.trace_file import trace_from_bytes

    opened = _opened(state.SECOND_UPLOAD, trace_from_bytes)
    if opened is not None:
        upload = st.session_state[state.SECOND_UPLOAD]
        digest = hashlib.sha256(upload.getvalue()).hexdigest()
        st.session_state[state.SECOND_RUN] = (digest, upload.name, opened)
        st.session_state[state.CHANGE_KIND] = "file"


def _opened(key: str, read: Callable[[bytes, str], Any]) -> Any:
    """What an uploaded file holds; None where there is none, or after keeping what is wrong with it."""
    upload = st.session_state.get(key)
    st.session_state.pop(state.COMPARE_SAID, None)
    if upload is None:
        return None
    try:
        return read(upload.getvalue(), upload.name)
    except AnalysisError as problem:
        st.session_state[state.COMPARE_SAID] = problem
        return None


def _content(c: Comparison) -> bytes:
    from analysis.comparison.comparison_file import comparison_bytes

    return comparison_bytes(c)
