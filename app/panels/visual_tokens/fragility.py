"""Hidden fragility: changes of the picture that nobody sees, which only the pruned model notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis import figures
from analysis.visual_tokens.fragility_figures import fragility_frame, fragility_sentence
from app import state
from app.compute.looking import SHIPPED
from app.panels.visual_tokens import help as explained
from app.panels.visual_tokens import running
from app.panels.visual_tokens.experiment import experiment
from app.panels.visual_tokens.layers import patches_card
from app.widgets.clicks import take_click
from app.widgets.figure_card import altair_card
from app.widgets.layout import side_by_side
from app.widgets.messages import unavailable
from app.widgets.plain import plain

if TYPE_CHECKING:
    from PIL.Image import Image

    from analysis.visual_tokens.fragility_results import Fragility
    from analysis.visual_tokens.results import VisualAnswer
    from analysis.visual_tokens.vision_model import VisionModel
    from app.compute.job import Job

TITLE = "Changes that nobody sees"
METHODS = ("random", "fastv", "divprune", "visionzip")
KEPT = (36, 16)
NOISES = {"RandomSigns": "by chance", "AgainstAttention": "against the tower's attention"}
LEVELS, COUNTS = (1, 2, 4, 8), (10, 40, 100)
_HEIGHT = 320


def fragility_cards(a: VisualAnswer) -> None:
    """Draw what asks for it, and the picture once it is there."""
    take_click(state.PATCH_MAP, running.choose_patch)
    request = running.request_shown()
    left, right = side_by_side("maps_fragility", 2)
    found = None
    with left:
        if request is not None and request.model.name != SHIPPED:
            unavailable(
                TITLE,
                "It needs many pictures with known answers: scenes, which only the shipped model knows.",
            )
        else:
            found = experiment(
                "fragility",
                TITLE,
                "test scenes, few tokens and all",
                "Measure fragility",
                _controls,
                height=_HEIGHT,
            )
        if found is not None:
            _chart(found)
    with right:
        patches_card(a)


def _controls() -> tuple[tuple[tuple[str, object], ...], Any]:
    name = st.selectbox(
        "Change", list(NOISES), key=state.FRAGILE_NOISE, format_func=NOISES.__getitem__, persist_state="session", width=220,
    )  # fmt: skip
    levels = st.selectbox(
        "Levels of 255", LEVELS, index=1, key=state.FRAGILE_LEVELS, persist_state="session", width=120,
        help="Largest change of a colour value.",
    )  # fmt: skip
    n = st.selectbox("Scenes", COUNTS, key=state.FRAGILE_SCENES, persist_state="session", width=110)

    def compute(vlm: VisionModel, _image: Image, job: Job) -> Fragility:
        from analysis.visual_tokens import perturbation
        from analysis.visual_tokens.fragility import measure_fragility
        from analysis.visual_tokens.scenes.scene import scene

        noise = getattr(perturbation, name)(levels)
        pictures = [scene(seed) for seed in range(n)]
        return measure_fragility(vlm, pictures, METHODS, KEPT, noise, progress=job.report)

    return (("noise", name), ("levels", levels), ("scenes", n)), compute


def _chart(found: Fragility) -> None:
    name, levels = type(found.noise).__name__, found.noise.levels
    with altair_card(
        "Right answers",
        plain(fragility_sentence(found)),
        lambda: figures.fragility_chart(found, theme_name=state.theme_name()),
        name="fragility_chart",
        alt="Share of right answers on pictures as they are and changed, by method and tokens kept",
        phrase=f"{NOISES[name]}, {levels} of 255",
        table=lambda: fragility_frame(found),
        code="import analysis as an\n\nvlm = an.load_vision_model()\n"
        f"scenes = [an.scene(seed) for seed in range({len(found.changed)})]\n"
        f"found = an.measure_fragility(vlm, scenes, {list(METHODS)}, {list(KEPT)}, an.{name}({levels}))\n"
        "an.figures.fragility_chart(found)\n",
        more=explained.FRAGILITY,
    ) as draw:
        draw()
