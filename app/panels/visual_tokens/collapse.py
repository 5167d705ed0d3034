"""Over many scenes: at which layer the matrix entropy of the visual tokens collapses, if at any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis import figures
from analysis.visual_tokens.collapse_figures import collapse_frame, collapse_sentence
from app import state
from app.choice import chosen
from app.panels.visual_tokens import help as explained
from app.panels.visual_tokens import running
from app.panels.visual_tokens.experiment import experiment
from app.widgets.figure_card import altair_card

if TYPE_CHECKING:
    from PIL.Image import Image

    from analysis.visual_tokens.results import VisualLayers
    from analysis.visual_tokens.vision_model import VisionModel
    from app.compute.job import Job

COUNTS = (16, 64, 256)
TOKENS = ("visual", "text", "text without first")
_LABELS = {"visual": "visual tokens", "text": "text", "text without first": "text without its first token"}
_HEIGHT = 300


def collapse_panel() -> None:
    """Draw what asks for it, and the curves once they are there."""
    layers = experiment(
        "visual_collapse",
        "Over many pictures",
        "Generated scenes, each with its first question, by the model on screen.",
        "Measure scenes",
        _controls,
        height=_HEIGHT,
    )
    if layers is not None:
        _curves(layers)


def _controls() -> tuple[tuple[tuple[str, object], ...], Any]:
    n = st.selectbox(
        "Scenes", COUNTS, key=state.COLLAPSE_SCENES, persist_state="session", width=120,
        help="Scenes 0, 1, 2, ...: the shipped model was never trained on them.",
    )  # fmt: skip

    def compute(vlm: VisionModel, _image: Image, job: Job) -> dict[str, VisualLayers]:
        from analysis.visual_tokens.collapse import layers_of_scenes

        return layers_of_scenes(vlm, range(n), on_progress=job.report)

    return (("scenes", n),), compute


def _curves(layers: dict[str, VisualLayers]) -> None:
    unit, tokens = state.unit(), chosen(TOKENS, state.COLLAPSE_TOKENS)
    request = running.request_shown()
    name = "" if request is None or not request.model.name else repr(request.model.name)
    code = (
        f"import analysis as an\n\nvlm = an.load_vision_model({name})\n"
        f"layers = an.layers_of_scenes(vlm, range({len(layers)}))\nprint(an.visual_collapse(layers, {tokens!r}))\n"
        f"an.figures.visual_collapse_curves(layers, {tokens!r}, unit={unit!r})\n"
    )
    with altair_card(
        "Matrix entropy of many pictures",
        collapse_sentence(layers, tokens),
        lambda: figures.visual_collapse_curves(layers, tokens, unit=unit, theme_name=state.theme_name()),
        name="visual_collapse_curves",
        alt="Matrix entropy over the layers, a thin line for each picture, their median thick",
        phrase=f"{len(layers)} scenes, {_LABELS[tokens]}",
        table=lambda: collapse_frame(layers, tokens, unit),
        code=code,
        more=explained.LAYERS,
    ) as draw:
        st.selectbox(
            "Tokens",
            TOKENS,
            key=state.COLLAPSE_TOKENS,
            format_func=_LABELS.__getitem__,
            persist_state="session",
            label_visibility="collapsed",
            width=240,
        )
        draw()
