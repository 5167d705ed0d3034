"""What is behind Edit: a generated scene, a file or a photograph, and the question."""

from __future__ import annotations

import streamlit as st

from analysis.errors import AnalysisError
from app import state
from app.choice import choose
from app.panels.visual_tokens.request import (
    FIRST_SCENE,
    LAST_SCENE,
    LONGEST,
    SOURCES,
    own_picture,
    scene_number,
    scene_shown,
    source,
)
from app.widgets.messages import show_error
from app.widgets.plain import plain
from app.widgets.text_field import fill_in, text_field

_MAX_UPLOAD_MB = 40
_THUMBNAIL = 192


def picture_form() -> None:
    """The picture on the left, the question on the right."""
    left, right = st.columns([1, 1.4], gap="medium")
    with left:
        choose("Picture", SOURCES, key=state.LOOK_SOURCE)
        _picture()
    with right:
        text_field("Question", state.LOOK_QUESTION, 90, max_chars=LONGEST)
        if source() == "scene":
            st.caption("Questions that were made with this scene:")
            with st.container(key="scene_questions", gap="xxsmall"):
                for k, one in enumerate(scene_shown(scene_number()).questions):
                    st.button(
                        one.text,
                        key=f"scene_question_{k}",
                        type="tertiary",
                        help=f"{one.kind} · right answer: {one.answer}",
                        on_click=_write,
                        args=(one.text,),
                    )


def _write(question: str) -> None:
    fill_in(state.LOOK_QUESTION, question)
    st.session_state[state.LOOK_FILLED] = (scene_number(), question)
    st.query_params[state.LOOK_QUESTION] = question


def _picture() -> None:
    where = source()
    if where == "scene":
        # floats, because Streamlit fails on a link with an infinite whole number
        st.number_input(
            "Scene number", 0.0, float(LAST_SCENE), float(FIRST_SCENE), 1.0, "%.0f", key=state.SCENE,
            bind="query-params", persist_state="session",
            help="Every number gives another scene. Below a million: scenes that the shipped model was never trained on.",
        )  # fmt: skip
        st.image(scene_shown(scene_number()).pixels, width=_THUMBNAIL)
        return
    if where == "upload":
        st.file_uploader(
            "Picture file",
            type=["png", "jpg", "jpeg", "webp", "gif", "bmp"],
            key=state.LOOK_UPLOAD,
            max_upload_size=_MAX_UPLOAD_MB,
            help="It stays in this session's memory alone, and never in a link.",
        )
    else:
        st.camera_input("Photograph", key=state.LOOK_CAMERA)
    found = own_picture()
    if isinstance(found, AnalysisError):
        show_error(found)
    elif found is not None:
        st.image(found.png, width=_THUMBNAIL)
        for note in found.notes:
            st.caption(plain(note))


def answer_options() -> None:
    """Nothing decides the answer but the form: it is the most probable one."""
    st.caption(
        "The answer is the most probable token, one after the other, at most 32. "
        "The shipped model answers in one word or number."
    )
