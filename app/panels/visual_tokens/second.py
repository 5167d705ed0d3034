"""What the second answer is asked: another question about the same picture, or a question about another scene."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.compute.looking import MOST_NEW, VisualRequest
from app.panels.visual_tokens import running
from app.panels.visual_tokens.experiment import experiment
from app.panels.visual_tokens.request import FIRST_SCENE, LAST_SCENE, LONGEST, scene_shown

if TYPE_CHECKING:
    from PIL.Image import Image

    from analysis.visual_tokens.results import VisualAnswer
    from analysis.visual_tokens.vision_model import VisionModel
    from app.compute.job import Job

KINDS = {"question": "another question", "scene": "another scene"}
_HEIGHT = 60


def ask_second() -> None:
    """Draw the panel; an answer that comes is held beside the one on screen."""
    asked: list[VisualRequest] = []
    found = experiment(
        "second_answer",
        "Compare with",
        "A is the answer on screen, B this one.",
        "Compare answers",
        lambda: _controls(asked),
        height=_HEIGHT,
    )
    if found is not None:
        running.hold_second(found, asked[0])


def _controls(asked: list[VisualRequest]) -> tuple[tuple[tuple[str, object], ...], Any]:
    """Draw the controls; what they ask for is put into the list."""
    here = running.request_shown()
    assert here is not None  # the panel is not drawn without
    kind = st.selectbox(
        "What differs", list(KINDS), key=state.SECOND_KIND, format_func=KINDS.__getitem__, persist_state="session", width=170,
    )  # fmt: skip
    number = here.scene
    if kind == "scene":
        # floats, because Streamlit fails on a link with an infinite whole number
        first = FIRST_SCENE if number is None else min(number, LAST_SCENE - 1)
        number = int(st.number_input(
            "Scene number", 0.0, float(LAST_SCENE), float(first + 1), 1.0, "%.0f", key=state.SECOND_SCENE,
            persist_state="session", width=150,
        ))  # fmt: skip
    known = [] if number is None else [q.text for q in scene_shown(number).questions]
    if kind == "scene":
        known = list(dict.fromkeys((here.question, *known)))
    else:
        known.sort(key=lambda text: text == here.question)  # the one that was asked comes last
    said = st.selectbox(
        "Question",
        known,
        key=f"{state.SECOND_QUESTION}_{kind}_{number}",
        accept_new_options=True,
        placeholder="Write a question",
        persist_state="session",
        width="stretch",
        help="One that was made with the scene, or your own.",
    )
    question = " ".join((said or "").split())[:LONGEST]
    wanted = replace(here, question=question)
    if kind == "scene":
        wanted = VisualRequest(here.model, question, number)
    asked.append(wanted)

    def compute(vlm: VisionModel, image: Image, job: Job) -> VisualAnswer:
        from analysis.visual_tokens.ask import ask
        from analysis.visual_tokens.scenes.scene import scene

        other = image if kind == "question" else scene(wanted.scene or 0).image
        return ask(vlm, other, question, max_new=MOST_NEW, on_progress=job.report)

    options = (("scene", wanted.scene if kind == "scene" else None), ("question", question))
    return options, compute if question else None
