"""What the form asks for: a picture, a question, a model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from analysis.errors import AnalysisError
from app import state
from app.choice import chosen
from app.compute.looking import VisualRequest
from app.panels.visual_tokens.vision_model import vision_spec
from app.widgets.text_field import fill_in, text_of

if TYPE_CHECKING:
    from analysis.visual_tokens.scenes.scene import Scene

SOURCES = ("scene", "upload", "camera")
FIRST_SCENE, LAST_SCENE = 7, 2**32 - 1
FIRST_QUESTION = "which digit is shown?"
"""One of the first scene's own questions."""
SECOND_QUESTION = "which word is shown?"
"""Another one of them."""
LONGEST = 2000
"""Characters of a question."""


@dataclass(frozen=True)
class OwnPicture:
    """A picture of a person, held in the session alone."""

    digest: str
    png: bytes
    """Encoded anew: pixels only."""
    notes: tuple[str, ...]
    """What was done to it."""


@st.cache_data(max_entries=32, show_spinner=False)
def scene_shown(number: int) -> Scene:
    """The scene of a number."""
    from analysis.visual_tokens.scenes.scene import scene

    return scene(number)


def source() -> str:
    """Where the picture comes from."""
    found: str = chosen(SOURCES, state.LOOK_SOURCE)
    return found


def scene_number() -> int:
    """Number of the scene in the form or in the address."""
    number = state.number_of(state.SCENE)
    return FIRST_SCENE if number is None or number > LAST_SCENE else number


def own_picture() -> OwnPicture | AnalysisError | None:
    """The uploaded or photographed picture, what is wrong with it, or None while there is none."""
    upload = st.session_state.get(state.LOOK_UPLOAD)
    if source() == "camera":
        upload = st.session_state.get(state.LOOK_CAMERA)
    if upload is None:
        return None
    data = upload.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    held = st.session_state.get(state.LOOK_PICTURE)
    if held is None or held[0] != digest:
        st.session_state[state.LOOK_PICTURE] = held = (digest, _read(data))
    found: OwnPicture | AnalysisError = held[1]
    return found


def _read(data: bytes) -> OwnPicture | AnalysisError:
    from analysis.visual_tokens.images import read_image, to_png

    try:
        picture = read_image(data)
    except AnalysisError as problem:
        return problem
    png = to_png(picture.image)
    return OwnPicture(hashlib.sha256(png).hexdigest(), png, picture.notes)


def begin_form() -> None:
    """A scene's first question stands in the form until a person writes another."""
    if state.LOOK_QUESTION not in st.session_state and state.LOOK_QUESTION in st.query_params:
        st.session_state[state.LOOK_QUESTION] = st.query_params[state.LOOK_QUESTION][:LONGEST]
    if source() != "scene":
        return
    said, filled = text_of(state.LOOK_QUESTION), st.session_state.get(state.LOOK_FILLED)
    if not said or (filled is not None and said == filled[1] and filled[0] != scene_number()):
        is_first = scene_number() == FIRST_SCENE
        first = FIRST_QUESTION if is_first else scene_shown(scene_number()).questions[0].text
        fill_in(state.LOOK_QUESTION, first)
        st.session_state[state.LOOK_FILLED] = (scene_number(), first)


def visual_request() -> VisualRequest | AnalysisError:
    """What the form holds now, or what is missing."""
    scene: int | None
    held = text_of(state.LOOK_QUESTION) or st.query_params.get(state.LOOK_QUESTION, "")
    question, scene, digest = " ".join(held.split()), scene_number(), ""
    if source() != "scene":
        picture = own_picture()
        if isinstance(picture, AnalysisError):
            return picture
        if picture is None:
            return AnalysisError(
                "There is no picture yet.", "Choose a file or take a photograph behind Edit, or use a scene."
            )
        scene, digest = None, picture.digest
    if not question:
        return AnalysisError("There is no question.", "Write one behind Edit.")
    return VisualRequest(vision_spec(), question, scene, digest)


def png_of(request: VisualRequest) -> bytes | None:
    """The picture of a request, where it is a person's."""
    if request.scene is not None:
        return None
    held = st.session_state.get(state.LOOK_PICTURE)
    if held is None or not isinstance(held[1], OwnPicture) or held[1].digest != request.digest:
        raise AnalysisError("The picture is not there any more.", "Choose it again behind Edit.")
    return held[1].png


def right_answer(request: VisualRequest | None) -> str | None:
    """The right answer to a scene's own question; None where nobody knows it."""
    if request is None or request.scene is None:
        return None
    asked = {q.text: q.answer for q in scene_shown(request.scene).questions}
    return asked.get(request.question)
