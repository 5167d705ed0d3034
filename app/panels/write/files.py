"""Keep what was written as a file, or open one; its messages as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.errors import AnalysisError
from app import state
from app.panels.write import running
from app.widgets.messages import show_error
from app.widgets.report_button import report_button
from app.widgets.session_files import session_files

if TYPE_CHECKING:
    from analysis.writing.results import Writing

_MAX_UPLOAD_MB = 200


def writing_files() -> None:
    """Draw the controls behind the icon File."""
    session_files()
    writing, branch = running.shown_writing(), running.shown_branch()
    st.download_button(
        "Save all branches",
        lambda: _content(writing),
        file_name="run.writing",
        mime="application/octet-stream",
        key="save_writing",
        on_click="ignore",
        help="Prompt, tree, numbers, settings and seeds in one file. It opens here without a model.",
    )
    report_button("Report of what was written", writing, name="writing")
    st.download_button(
        "Save messages as JSON",
        lambda: _messages(writing, branch),
        file_name="messages.json",
        mime="application/json",
        key="save_messages",
        on_click="ignore",
        help="The chat with the branch on screen as its last message.",
    )
    upload = st.file_uploader(
        "Open what was written",
        type="writing",
        key="open_writing",
        max_upload_size=_MAX_UPLOAD_MB,
        help="A file saved here.",
    )
    if upload is None:
        st.session_state.pop(state.WRITING_UPLOAD, None)
        return
    if st.session_state.get(state.WRITING_UPLOAD) == upload.file_id:
        return
    st.session_state[state.WRITING_UPLOAD] = upload.file_id
    from analysis.writing.writing_file import writing_from_bytes

    try:
        opened = writing_from_bytes(upload.getvalue(), upload.name)
    except AnalysisError as error:
        show_error(error)
        return
    running.stop()
    st.session_state.pop(state.WRITING_JOB, None)
    st.session_state[state.WRITER] = None
    running.show(opened)
    st.rerun()


def _content(writing: Writing) -> bytes:
    from analysis.writing.writing_file import writing_bytes

    return writing_bytes(writing)


def _messages(writing: Writing, branch: int) -> bytes:
    from analysis.writing.messages import messages_json

    return messages_json(writing, branch).encode()
