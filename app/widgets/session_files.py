"""Keep all that is on screen, over the pages, as one file, or open one made here or on another machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.errors import AnalysisError
from app import state
from app.compute import requests as runs
from app.widgets.messages import show_error
from app.widgets.plain import plain
from app.widgets.run_status import finished_run, finished_sweep, show_sweep

if TYPE_CHECKING:
    from analysis.session_file import Session

_MAX_UPLOAD_MB = 500


def session_files() -> None:
    """Draw the save and open controls."""
    left_out = _left_out()
    session = _on_screen(left_out)
    st.download_button(
        "Save the session",
        lambda: _content(session),
        file_name="logitscope.session",
        mime="application/octet-stream",
        disabled=session.is_empty,
        key="save_session",
        on_click="ignore",
        help="The run with its lens, the comparison of eviction methods, what was written, the comparison of two sides, "
        "and the answer about a picture with the picture, in one file. It opens without a model."
        + (f" Without {', '.join(left_out)}: these have no file yet." if left_out else ""),
    )
    upload = st.file_uploader(
        "Open a session",
        type="session",
        key="open_session",
        max_upload_size=_MAX_UPLOAD_MB,
        help="A file saved here.",
    )
    if upload is None:
        st.session_state.pop(state.SESSION_UPLOAD, None)
        return
    if st.session_state.get(state.SESSION_UPLOAD) == upload.file_id:
        _say(st.session_state.get(state.SESSION_WITHOUT, ()))
        return
    st.session_state[state.SESSION_UPLOAD] = upload.file_id
    from analysis.session_file import session_from_bytes

    try:
        opened = session_from_bytes(upload.getvalue(), upload.name)
    except AnalysisError as error:
        st.session_state.pop(state.SESSION_WITHOUT, None)
        show_error(error)
        return
    _show(opened)
    st.rerun()


def _show(opened: Session) -> None:
    """Put every part on its page; what is written there now is stopped."""
    if opened.run is not None:
        st.session_state[state.OPENED] = opened.run
        st.session_state.pop(state.TOKEN, None)
    if opened.tree is not None:
        job = st.session_state.pop(state.WRITING_JOB, None)
        if job is not None:
            runs.cancel(job)
        st.session_state.pop(state.WRITTEN_TOKEN, None)
        st.session_state[state.WRITING] = opened.tree
        st.session_state[state.WRITER] = None
        st.session_state[state.BRANCH] = opened.tree.newest
    if opened.comparison is not None:
        st.session_state[state.COMPARISON] = opened.comparison
        st.session_state[state.COMPARED_REQUEST] = None
        st.session_state.pop(state.COMPARED_ITEM, None)
    if opened.sweep is not None:
        show_sweep(opened.sweep)
    if opened.answer is not None:
        st.session_state[state.LOOK] = opened.answer
        st.session_state[state.LOOKED_REQUEST] = None
        st.session_state.pop(state.LOOK_TOKEN, None)
        st.session_state.pop(state.PATCH, None)
        st.query_params.pop(state.LOOK_TOKEN, None)
        st.query_params.pop(state.PATCH, None)
    st.session_state[state.SESSION_WITHOUT] = opened.left_out


def _say(left_out: tuple[str, ...]) -> None:
    if left_out:
        st.caption(f"Not in the file: {plain(', '.join(left_out))}.")


def _left_out() -> tuple[str, ...]:
    """What is on screen and has no file of its own."""
    held = {
        "a compression of a prompt": st.session_state.get(state.COMPRESSION_REQUEST),
        "runs of the lab four squares": st.session_state.get(state.SQUARES_REQUEST),
        "runs of the lab bigram-backcopy": st.session_state.get(state.BACKCOPY_REQUEST),
        "training logs": st.session_state.get(state.LOG_SOURCES),
    }
    return tuple(words for words, there in held.items() if there)


def _on_screen(left_out: tuple[str, ...]) -> Session:
    """Every part that has a file, as far as it is there."""
    from analysis.session_file import Session

    return Session(
        finished_run(),
        st.session_state.get(state.WRITING),
        st.session_state.get(state.COMPARISON),
        left_out,
        finished_sweep(),
        st.session_state.get(state.LOOK),
    )


def _content(session: Session) -> bytes:
    from analysis.session_file import session_bytes

    return session_bytes(session)
