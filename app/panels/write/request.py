"""What the form of the page Write asks for."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from analysis.errors import AnalysisError
from analysis.models.spec import ModelSpec
from analysis.writing.results import Message, Samplers
from analysis.writing.sampler_chain import SAMPLERS, parse_samplers
from app import state
from app.choice import chosen
from app.widgets.model_choice import model_spec
from app.widgets.text_field import fill_in, text_of

FORMS = ("chat", "plain")
THINKING = {"as the template does": None, "on": True, "off": False}
MESSAGE = "Name one animal that lives in the sea, and say in one sentence why it is special."
TEXT = "The old lighthouse keeper opened the door and"
N_NEW, N_ANSWERS = 64, 8
MOST_NEW, MOST_ANSWERS = 4096, 64


@dataclass(frozen=True)
class WriteRequest:
    """Everything that decides what is written."""

    model: ModelSpec
    prompt: str | tuple[Message, ...]
    """A plain text, or a chat."""
    thinking: bool | None
    n_new: int
    samplers: Samplers
    stop: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The prompt in a few words: the last message of a chat."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[-1].content if self.prompt else ""

    @property
    def said(self) -> str:
        """How the next token is chosen, in words."""
        return samplers_said(self.samplers)


def samplers_said(samplers: Samplers) -> str:
    """Samplers in their order, and the seed: "temperature 0.8 · top-p 0.9 · seed 7"."""
    if samplers.is_greedy:
        return "greedy"
    names = [f"{SAMPLERS[name].label.lower()} {setting:g}" for name, setting in samplers.steps]
    return " · ".join((*names, f"seed {samplers.seed}"))


def write_request() -> WriteRequest | AnalysisError:
    """What the form holds now, or what is wrong with it."""
    try:
        return WriteRequest(
            model_spec(),
            _prompt(),
            THINKING[st.session_state.get(state.THINKING) or "as the template does"],
            int(st.session_state.get(state.N_WRITTEN, N_NEW)),
            _samplers(),
            tuple(line for line in text_of(state.STOP_STRINGS).splitlines() if line),
        )
    except AnalysisError as problem:
        return problem


def n_answers() -> int:
    """How many answers are asked for at once."""
    return int(st.session_state.get(state.N_ANSWERS, N_ANSWERS))


def _samplers() -> Samplers:
    names = st.session_state.get(state.WRITE_SAMPLERS) or ()
    steps = [(n, st.session_state.get(state.sampler(n), SAMPLERS[n].default)) for n in names if n in SAMPLERS]
    return parse_samplers(steps, int(st.session_state.get(state.WRITE_SEED, 0)))


def _prompt() -> str | tuple[Message, ...]:
    if chosen(FORMS, state.WRITE_AS) == "plain":
        return text_of(state.PROMPT_TEXT)
    texts = [text_of(state.turn(i)) for i in range(st.session_state.get(state.N_TURNS, 0))]
    turns = [Message(("assistant", "user")[i % 2], text) for i, text in enumerate(texts)]
    system = text_of(state.SYSTEM)
    first = [Message("system", system)] if system.strip() else []
    return (*first, Message("user", text_of(state.MESSAGE)), *turns)


def begin_form() -> None:
    """Put the example's prompt into a form that was never filled in."""
    st.session_state.setdefault(state.MESSAGE, MESSAGE)
    st.session_state.setdefault(state.PROMPT_TEXT, TEXT)
    st.session_state.setdefault(state.N_TURNS, 0)


def add_turns(answer: str = "") -> None:
    """Two more turns: what the model said, as it can be edited, and what a person says next."""
    n = st.session_state[state.N_TURNS]
    fill_in(state.turn(n), answer)
    fill_in(state.turn(n + 1), "")
    st.session_state[state.N_TURNS] = n + 2


def drop_turns() -> None:
    """The last two turns away."""
    n = st.session_state[state.N_TURNS] - 2
    st.session_state[state.N_TURNS] = n
    for i in (n, n + 1):
        fill_in(state.turn(i), "")
