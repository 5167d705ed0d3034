"""Keep the run on screen as a file, or open one made here or on another machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.errors import AnalysisError
from app import state
from app.widgets.messages import show_error
from app.widgets.report_button import report_button
from app.widgets.run_status import finished_run
from app.widgets.session_files import session_files

if TYPE_CHECKING:
    from analysis.results.trace import Trace

_MAX_UPLOAD_MB = 500


def trace_files() -> None:
    """Draw the save and open controls."""
    session_files()
    trace = finished_run()
    st.download_button(
        "Save this run",
        lambda: _content(trace),
        file_name="run.trace",
        mime="application/octet-stream",
        disabled=trace is None,
        key="save_run",
        on_click="ignore",
        help="Text, numbers, spec and checks in one file. It opens here without a model.",
    )
    report_button("Report of this run", trace, name="run")
    upload = st.file_uploader(
        "Open a run", type="trace", key="open_run", max_upload_size=_MAX_UPLOAD_MB, help="A file saved here."
    )
    if upload is None:
        st.session_state.pop(state.OPENED_ID, None)
        return
    if st.session_state.get(state.OPENED_ID) == upload.file_id:
        return
    st.session_state[state.OPENED_ID] = upload.file_id
    from analysis.results.trace_file import trace_from_bytes

    try:
        opened = trace_from_bytes(upload.getvalue(), upload.name)
    except AnalysisError as error:
        show_error(error)
        return
    st.session_state[state.OPENED] = opened
    st.session_state.pop(state.TOKEN, None)
    st.rerun()


def _content(trace: Trace | None) -> bytes:
    from analysis.results.trace_file import trace_bytes  # pandas comes with it: not before the heading

    return trace_bytes(trace) if trace is not None else b""
