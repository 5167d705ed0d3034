"""Keep a comparison as a file, open one, or open a run of another machine as side B."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.errors import AnalysisError
from app import state
from app.panels.compare import running
from app.widgets.messages import show_error
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
    upload = _new_upload("Open a comparison", "compare", state.COMPARE_UPLOAD, "A file saved here.")
    if upload is not None:
        opened = _opened(upload, "compare")
        if opened is not None:
            running.show(opened)
            st.session_state[state.COMPARED_REQUEST] = None
            st.rerun()
    upload = _new_upload("Open a run as side B", "trace", state.SECOND_UPLOAD, "A trace file of any machine.")
    if upload is not None:
        opened = _opened(upload, "trace")
        if opened is not None:
            digest = hashlib.sha256(upload.getvalue()).hexdigest()
            st.session_state[state.SECOND_RUN] = (digest, upload.name, opened)
            st.session_state[state.CHANGE_KIND] = "file"
            st.rerun()
    trace_files()


def _new_upload(label: str, ending: str, seen: str, tip: str) -> Any:
    """A file that was not opened yet; None while there is none."""
    upload = st.file_uploader(
        label, type=ending, key=f"{seen}_field", max_upload_size=_MAX_UPLOAD_MB, help=tip
    )
    if upload is None:
        st.session_state.pop(seen, None)
        return None
    if st.session_state.get(seen) == upload.file_id:
        return None
    st.session_state[seen] = upload.file_id
    return upload


def _opened(upload: Any, ending: str) -> Any:
    """What a file holds; None after saying what is wrong with it."""
    from analysis.comparison.comparison_file import comparison_from_bytes
    from analysis.results.trace_file import trace_from_bytes

    read = comparison_from_bytes if ending == "compare" else trace_from_bytes
    try:
        return read(upload.getvalue(), upload.name)
    except AnalysisError as error:
        show_error(error)
        return None


def _content(c: Comparison) -> bytes:
    from analysis.comparison.comparison_file import comparison_bytes

    return comparison_bytes(c)
