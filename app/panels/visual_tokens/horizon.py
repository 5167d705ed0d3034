"""The information horizon: from which layer on the answer no longer needs the picture, or a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis import figures
from analysis.visual_tokens.horizon_figures import WHICH, horizon_sentence, window_frame
from analysis.visual_tokens.patch_figures import SMALL
from analysis.visual_tokens.sinks import named_sinks
from app import state
from app.choice import chosen
from app.compute.looking import SHIPPED
from app.panels.visual_tokens import help as explained
from app.panels.visual_tokens import running
from app.panels.visual_tokens.attention import PICK
from app.panels.visual_tokens.code import question_code
from app.panels.visual_tokens.experiment import experiment
from app.panels.visual_tokens.layers import patches_card
from app.panels.visual_tokens.part import part_control, shows_whole
from app.panels.visual_tokens.request import right_answer
from app.widgets.clicks import take_click
from app.widgets.figure_card import altair_card
from app.widgets.layout import side_by_side
from app.widgets.messages import unavailable
from app.widgets.plain import plain

if TYPE_CHECKING:
    from PIL.Image import Image

    from analysis.visual_tokens.horizon_results import HorizonResult, SceneHorizon
    from analysis.visual_tokens.results import VisualAnswer
    from analysis.visual_tokens.vision_model import VisionModel
    from app.compute.job import Job

SIDES = (2, 1, 3, 4)
COUNTS = (60, 240, 500)
_HEIGHT = 380
_SCENES = "By kind of question"


def horizon_cards(a: VisualAnswer) -> None:
    """Draw what asks for the horizon, its pictures once they are there, and the panel of many questions."""
    take_click(state.HORIZON_CURVE, running.choose_layer)
    for chart in (state.HORIZON_MAP, state.PATCH_MAP):
        take_click(chart, running.choose_patch)
    left, right = side_by_side("maps_horizon", 2)
    with left:
        h = experiment(
            "visual_horizon",
            "Take the picture away",
            "all of it, or a window, from a layer on",
            "Measure horizon",
            lambda: _controls(a),
            height=_HEIGHT,
        )
        if h is not None:
            _curve(a, h)
    with right:
        if h is None:
            patches_card(a)
        else:
            _windows(a, h)
    _kinds()


def _answer(a: VisualAnswer) -> str:
    """The answer that is followed: the right one where it is known."""
    return right_answer(running.request_shown()) or a.text


def _controls(a: VisualAnswer) -> tuple[tuple[tuple[str, object], ...], Any]:
    side = st.selectbox(
        "Window", SIDES, key=state.HORIZON_SIDE, persist_state="session", width=150,
        format_func=lambda n: f"{n} x {n} patch{'es' * (n > 1)}",
    )  # fmt: skip
    request, answer = running.request_shown(), _answer(a)
    sinks = sorted(sink.token for sink in named_sinks(a))
    question = "" if request is None else request.question

    def compute(vlm: VisionModel, image: Image, job: Job) -> HorizonResult:
        from analysis.visual_tokens.horizon import information_horizon

        return information_horizon(
            vlm, image, question, answer, side=side, tokens=sinks, on_progress=job.report
        )

    return (("answer", answer), ("side", side)), compute if answer else None


def _call(h: HorizonResult) -> str:
    side = st.session_state.get(state.HORIZON_SIDE, SIDES[0])
    tokens = f", tokens={list(h.tokens)}" if h.tokens else ""
    return f"{question_code()}h = an.information_horizon(vlm, image, question, {h.answer!r}, side={side}{tokens})\n"


def _curve(a: VisualAnswer, h: HorizonResult) -> None:
    unit, theme_name, layer = state.unit(), state.theme_name(), running.chosen_layer(a)
    with altair_card(
        "The picture gone",
        f"{plain(horizon_sentence(h))} Upright dashed: the horizon. Click a layer to see the windows before it.",
        lambda: figures.visual_horizon(h, unit=unit, theme_name=theme_name, layer=layer),
        name="visual_horizon",
        alt="Change of the answer's log-probability if the picture, or its sinks alone, go before each layer",
        key=state.HORIZON_CURVE,
        phrase="by layer",
        table=lambda: h.to_frame(unit),
        code=f"{_call(h)}an.figures.visual_horizon(h, unit={unit!r})\n",
        more=explained.HORIZON,
    ) as draw:
        draw(figures.visual_horizon(h, unit=unit, theme_name=theme_name, layer=layer, pick=True), **PICK)


def _windows(a: VisualAnswer, h: HorizonResult) -> None:
    held, which = running.chosen_layer(a), chosen(list(WHICH), state.HORIZON_WHICH)
    layer = held if held in h.layers else h.layers[0]
    theme_name, patch, whole = state.theme_name(), running.chosen_patch(a), shows_whole(a.picture)
    with altair_card(
        "Which part counts",
        f"{WHICH[which][:1].upper()}{WHICH[which][1:]}. It knows the answer: no method could.",
        lambda: figures.horizon_on_picture(
            a.picture, h, layer, which, theme_name=theme_name, patch=patch, whole=whole
        ),
        name="horizon_on_picture",
        alt="Change of the answer's probability for every window of the picture",
        key=state.HORIZON_MAP,
        phrase=f"layer {layer}",
        table=lambda: window_frame(a.picture, h, layer),
        code=f"{_call(h)}a = an.ask(vlm, image, question)\nan.figures.horizon_on_picture(a.picture, h, {layer}, {which!r}{', whole=True' * whole})\n",
        more=explained.HORIZON,
    ) as draw:
        st.selectbox(
            "Window",
            list(WHICH),
            key=state.HORIZON_WHICH,
            format_func={"without": "this window gone", "alone": "this window alone"}.__getitem__,
            persist_state="session",
            label_visibility="collapsed",
            width=220,
        )
        part_control(a.picture)
        shown = figures.horizon_on_picture(
            a.picture, h, layer, which, theme_name=theme_name, patch=patch, whole=whole, side=SMALL, pick=True
        )
        draw(shown, width="content", **PICK)


def _kinds() -> None:
    """The horizon of every kind of question, over many scenes."""
    request = running.request_shown()
    if request is not None and request.model.name != SHIPPED:
        unavailable(_SCENES, "Kinds are known of generated scenes, which only the shipped model knows.")
        return

    def controls() -> tuple[tuple[tuple[str, object], ...], Any]:
        n = st.selectbox("Questions", COUNTS, key=state.HORIZON_QUESTIONS, persist_state="session", width=120)

        def compute(vlm: VisionModel, _image: Image, job: Job) -> SceneHorizon:
            from analysis.visual_tokens.scene_horizon import horizon_over_scenes

            return horizon_over_scenes(vlm, n, on_progress=job.report)

        return (("questions", n),), compute

    found = experiment(
        "horizon_kinds",
        _SCENES,
        "Test scenes: the share of right answers if the whole picture goes before a layer.",
        "Measure questions",
        controls,
        height=_HEIGHT,
    )
    if found is not None:
        with altair_card(
            "Right answers without the picture",
            "Bars: 95 % intervals. The horizon of a kind is the first layer from which on its mean log-probability hardly changes.",
            lambda: figures.horizon_by_kind(found, theme_name=state.theme_name()),
            name="horizon_by_kind",
            alt="Share of right answers of every kind of question if the picture goes before each layer",
            phrase="by kind of question",
            table=found.to_frame,
            code="import analysis as an\n\nvlm = an.load_vision_model()\n"
            f"found = an.horizon_over_scenes(vlm, {len(found.kind)})\nan.figures.horizon_by_kind(found)\n",
            more=explained.HORIZON,
        ) as draw:
            draw()
