"""How often answers stay right over many questions of test scenes; for the shipped model, which knows scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis import figures
from analysis.visual_tokens.scenes.words import KINDS
from analysis.visual_tokens.split_figures import split_sentence
from analysis.visual_tokens.sweep_figures import COUNTED
from app import state
from app.choice import chosen
from app.compute.looking import SHIPPED
from app.panels.visual_tokens import help as explained
from app.panels.visual_tokens import running
from app.panels.visual_tokens.experiment import experiment
from app.widgets.figure_card import altair_card, show_chart
from app.widgets.messages import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

    from analysis.visual_tokens.split_results import SplitSweep
    from analysis.visual_tokens.vision_model import VisionModel
    from app.compute.job import Job

TITLE = "Over many questions"
COUNTS = (60, 240, 500)
EVERY = "every kind"
_HEIGHT = 380


def split_panel(methods: list[str], shares: list[float], order: list[str]) -> None:
    """Draw what asks for it, and the curves as they come.

    Parameters
    ----------
    methods, shares
        What was chosen for the one question above.
    order : list of str
        All methods.
    """
    request = running.request_shown()
    if request is not None and request.model.name != SHIPPED:
        unavailable(
            TITLE,
            "Questions with known answers are about generated scenes, which only the shipped model knows.",
        )
        return
    split = experiment(
        "visual_split",
        TITLE,
        "The same methods on scenes that the model was never trained on, against the controls.",
        "Measure questions",
        lambda: _controls(methods, shares),
        height=_HEIGHT,
        draw_partial=lambda so_far: _live(so_far, order),
    )
    if split is not None:
        _curves(split, order)


def _controls(methods: list[str], shares: list[float]) -> tuple[tuple[tuple[str, object], ...], Any]:
    n = st.selectbox("Questions", COUNTS, key=state.SPLIT_QUESTIONS, persist_state="session", width=120)

    def compute(vlm: VisionModel, _image: Image, job: Job) -> SplitSweep:
        from analysis.visual_tokens.split_sweep import sweep_split

        show: Callable[[SplitSweep], None] = job.show
        return sweep_split(vlm, methods, shares, questions=n, on_progress=job.report, on_partial=show)

    options = (("policies", tuple(methods)), ("kept", tuple(shares)), ("questions", n))
    return options, compute if methods and shares else None


def _live(split: SplitSweep, order: list[str]) -> None:
    """The curves so far."""
    if not len(split):
        return
    show_chart(
        figures.split_curves(split, theme_name=state.theme_name(), order=order),
        alt="Share of right answers so far",
        key="split_live",
    )


def _curves(split: SplitSweep, order: list[str]) -> None:
    theme_name, kinds = state.theme_name(), [EVERY, *KINDS]
    said, counted = chosen(kinds, state.SPLIT_KIND), chosen(list(COUNTED), state.SPLIT_COUNTED)
    kind = None if said == EVERY else said
    settings = split.settings
    code = (
        "import analysis as an\n\nvlm = an.load_vision_model()\n"
        f"split = an.sweep_split(vlm, {list(dict.fromkeys(c.policy for c in split.cells[1:]))}, "
        f"{sorted({c.asked for c in split.cells[1:]}, reverse=True)}, questions={settings['questions']})\n"
        f"an.figures.split_curves(split, {kind!r}, counted={counted!r})\n"
    )
    with altair_card(
        "Right answers",
        split_sentence(split, kind),
        lambda: figures.split_curves(split, kind, counted=counted, theme_name=theme_name, order=order),
        name="split_curves",
        alt="Share of right answers against visual tokens, a curve for each method",
        phrase=f"test scenes, {said}",
        table=lambda: split.to_frame(kind),
        code=code,
        more=explained.SPLIT,
    ) as draw:
        with st.container(key="split_controls", horizontal=True, vertical_alignment="center", gap="small"):
            _select("Kind", kinds, state.SPLIT_KIND)
            _select("Count", list(COUNTED), state.SPLIT_COUNTED)
        draw()


def _select(label: str, names: list[str], key: str) -> None:
    st.selectbox(
        label,
        names,
        key=key,
        format_func=lambda name: COUNTED.get(name, name),
        persist_state="session",
        label_visibility="collapsed",
        width=290 if names[0] in COUNTED else 150,
    )
