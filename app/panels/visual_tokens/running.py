"""The answer on screen: the stored example, the last one, or an opened file; what is chosen in it; and what runs now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from analysis.errors import AnalysisError
from app import state
from app.compute import looking
from app.compute import requests as runs
from app.compute.job import Job
from app.compute.looking import VisionSpec, VisualRequest
from app.panels.visual_tokens.request import FIRST_QUESTION, FIRST_SCENE, SECOND_QUESTION

if TYPE_CHECKING:
    from analysis.visual_tokens.results import VisualAnswer
    from analysis.visual_tokens.sweep_results import VisualSweep

EXAMPLE_LOOK = Path(__file__).resolve().parents[2] / "example.look"
EXAMPLE_SECOND_LOOK = EXAMPLE_LOOK.with_name("example_second.look")
EXAMPLE_SWEEP_FILE = EXAMPLE_LOOK.with_name("example.sweep")
EXAMPLE = VisualRequest(VisionSpec(), FIRST_QUESTION, FIRST_SCENE)
"""What the stored example was asked, see ``tests/golden/make_example_look.py``."""
EXAMPLE_SECOND = VisualRequest(VisionSpec(), SECOND_QUESTION, FIRST_SCENE)
"""The same of the answer beside it."""
ALL_LAYERS, ALL_HEADS = "all layers", "all heads"


@st.cache_resource(show_spinner=False, max_entries=1)
def example_answer() -> VisualAnswer:
    """An answer of the shipped model, stored with the app."""
    from analysis.visual_tokens.answer_file import load_answer

    return load_answer(EXAMPLE_LOOK)


@st.cache_resource(show_spinner=False, max_entries=1)
def example_second() -> VisualAnswer:
    """The stored answer to compare it with."""
    from analysis.visual_tokens.answer_file import load_answer

    return load_answer(EXAMPLE_SECOND_LOOK)


@st.cache_resource(show_spinner=False, max_entries=1)
def example_sweep() -> VisualSweep:
    """The example's picture under the methods and shares that the view pruning begins with, stored with the app."""
    from analysis.visual_tokens.sweep_file import load_visual_sweep

    return load_visual_sweep(EXAMPLE_SWEEP_FILE)


def is_example() -> bool:
    """Whether nothing was asked or opened yet."""
    return state.LOOK not in st.session_state


def shown() -> VisualAnswer:
    """The answer on screen."""
    answer: VisualAnswer = example_answer() if is_example() else st.session_state[state.LOOK]
    return answer


def request_shown() -> VisualRequest | None:
    """The request that the answer on screen came from; None for an opened file."""
    request: VisualRequest | None = EXAMPLE if is_example() else st.session_state.get(state.LOOKED_REQUEST)
    return request


def show(answer: VisualAnswer, request: VisualRequest | None) -> None:
    """Put an answer on screen, with nothing chosen in it; the one before is compared with it until another is."""
    hold_second(shown(), request_shown())
    st.session_state[state.LOOK] = answer
    st.session_state[state.LOOKED_REQUEST] = request
    _forget(state.LOOK_TOKEN)
    _forget(state.PATCH)
    _forget(state.SECOND_TOKEN)


def hold_second(answer: VisualAnswer, request: VisualRequest | None) -> None:
    """Keep an answer as the one that the answer on screen is compared with."""
    st.session_state[state.SECOND] = answer, request


def second() -> tuple[VisualAnswer, VisualRequest | None]:
    """The answer to compare with, and what it was asked; None for an opened file."""
    held: tuple[VisualAnswer, VisualRequest | None] | None = st.session_state.get(state.SECOND)
    return (example_second(), EXAMPLE_SECOND) if held is None else held


def _forget(key: str) -> None:
    st.session_state.pop(key, None)
    st.query_params.pop(key, None)


def chosen_token(a: VisualAnswer) -> int:
    """Which written token is chosen: the first until a person chooses."""
    found = state.number_of(state.LOOK_TOKEN)
    return found if found is not None and found < len(a.tokens) else 0


def second_token(b: VisualAnswer, token: int) -> int:
    """Which written token of the second answer is chosen: that of the same number until a person chooses."""
    found = state.number_of(state.SECOND_TOKEN)
    return found if found is not None and found < len(b.tokens) else min(token, len(b.tokens) - 1)


def choose_token(token: int) -> None:
    """Choose a written token, here and in the URL; the patch stays."""
    st.session_state[state.LOOK_TOKEN] = token
    st.query_params[state.LOOK_TOKEN] = str(token)


def choose_second_token(token: int) -> None:
    """Choose a written token of the second answer."""
    st.session_state[state.SECOND_TOKEN] = token


def chosen_patch(a: VisualAnswer) -> int:
    """Which visual token is chosen: the one that the first written token looks at most, until a person chooses."""
    found = state.number_of(state.PATCH)
    if found is not None and found < len(a.picture):
        return found
    from analysis.visual_tokens.findings import strongest_patch

    return strongest_patch(a, chosen_token(a))


def choose_patch(patch: int) -> None:
    """Choose a visual token, in every picture and in the URL."""
    st.session_state[state.PATCH] = patch
    st.query_params[state.PATCH] = str(patch)


def layer_names(a: VisualAnswer) -> list[str]:
    """What may be chosen as the layer."""
    return [ALL_LAYERS, *(f"layer {layer}" for layer in range(a.spec.n_layers))]


def head_names(a: VisualAnswer) -> list[str]:
    """What may be chosen as the head: all of them alone where single heads were not kept."""
    n_heads = 0 if a.looking.attention is None else a.spec.n_heads
    return [ALL_HEADS, *(f"head {head}" for head in range(n_heads))]


def chosen_layer(a: VisualAnswer) -> int | None:
    """The chosen layer; None for the mean over all."""
    return _number(state.LOOK_LAYER, layer_names(a))


def chosen_head(a: VisualAnswer) -> int | None:
    """The chosen head; None for the mean over all."""
    return _number(state.LOOK_HEAD, head_names(a))


def _number(key: str, names: list[str]) -> int | None:
    said = st.session_state.get(key, st.query_params.get(key))
    return names.index(said) - 1 if said in names[1:] else None


def choose_layer(layer: int) -> None:
    """Choose a layer by a click; a second click on it chooses all."""
    again = chosen_layer(shown()) == layer
    st.session_state[state.LOOK_LAYER] = ALL_LAYERS if again else f"layer {layer}"


def choose_head(place: int) -> None:
    """Choose a head by a click in the map of heads: layer times number of heads, plus head."""
    a = shown()
    layer, head = divmod(place, a.spec.n_heads)
    if layer < a.spec.n_layers:
        st.session_state[state.LOOK_LAYER] = f"layer {layer}"
        if a.looking.attention is not None:
            st.session_state[state.LOOK_HEAD] = f"head {head}"


def live_job() -> Job | None:
    """The job that answers now."""
    request: VisualRequest | None = st.session_state.get(state.LOOK_REQUEST)
    job = runs.find(request) if request is not None else None
    return job if job is not None and job.is_live else None


def start(request: VisualRequest, png: bytes | None) -> None:
    """Ask for an answer, or keep why it is refused."""
    st.session_state.pop(state.LOOK_SAID, None)
    before = live_job()
    if before is not None:
        runs.cancel(before.key)
    try:
        looking.submit_question(request, png)
    except AnalysisError as refused:
        st.session_state[state.LOOK_SAID] = refused
        return
    st.session_state[state.LOOK_REQUEST] = request
    take_finished()  # where the same was asked before


def take_finished() -> None:
    """Put on screen what was answered since."""
    request = st.session_state.get(state.LOOK_REQUEST)
    if request is None or live_job() is not None:
        return
    del st.session_state[state.LOOK_REQUEST]
    job = runs.find(request)
    if job is None:
        return
    if job.error is not None:
        st.session_state[state.LOOK_SAID] = job.error
    elif job.result is not None:
        show(job.result, request)
