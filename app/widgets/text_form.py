"""The text to read and how to read it, shared by all pages: forms, and the request that they make."""

from __future__ import annotations

import streamlit as st

from analysis.drawing.numbers import count, duration, size
from analysis.errors import AnalysisError
from analysis.models.tokenization import BOS_CHOICES
from app import state
from app.compute import requests as runs
from app.examples import DEFAULT, EXAMPLES, example_of
from app.widgets.model_choice import model_spec
from app.widgets.plain import plain
from app.widgets.text_field import fill_in, text_field, text_of

_OWN = "own text"
_SLOW_SECONDS = 10
_ESTIMATED_CHARACTERS = 200_000
"""Longer texts are only tokenized when they are run: doing it twice would take seconds."""


def text_form() -> None:
    """Example, text, and what a run of it will cost."""
    st.menu_button(
        "Fill in an example",
        list(EXAMPLES),
        key=state.FILL_IN,
        format_func=lambda slug: EXAMPLES[slug].title,
        on_click=_fill_in,
    )
    text_field(
        "Text to read",
        state.TEXT,
        240,
        label_visibility="collapsed",
        placeholder="Type or paste a text, then press Run.",
    )
    _hint_or_estimate(run_request())


def _fill_in() -> None:
    fill_in(state.TEXT, EXAMPLES[st.session_state[state.FILL_IN]].text)


def text_and_address() -> None:
    """Begin with the example that the address names, and name in it the one that the text is."""
    named = st.query_params.get(state.EXAMPLE, DEFAULT)
    if state.TEXT not in st.session_state:
        st.session_state[state.TEXT] = "" if named == _OWN else EXAMPLES.get(named, EXAMPLES[DEFAULT]).text
    example = example_of(text_of(state.TEXT))
    slug = _OWN if example is None else example.slug
    if slug == DEFAULT:
        st.query_params.pop(state.EXAMPLE, None)
    elif slug != named:
        st.query_params[state.EXAMPLE] = slug


def text_options() -> None:
    """How the text is read: what begins it, its special tokens, and windows."""
    st.selectbox(
        "Beginning-of-text token",
        BOS_CHOICES,
        key=state.BOS,
        bind="query-params",
        help="auto: as the tokenizer does. Without one, the first token has nothing before it: no context, no number.",
    )
    st.toggle(
        "Read special tokens in the text",
        True,
        key=state.PARSE_SPECIAL,
        bind="query-params",
        help="Off: <|im_end|> in the text is read as plain letters.",
    )
    windows = st.toggle(
        "Read long texts in windows",
        key=state.WINDOWS,
        bind="query-params",
        help="For texts beyond the model's context. Each token then sees only its own window.",
    )
    st.number_input(
        "Stride, tokens",
        1.0,  # floats, because Streamlit fails on a link with an infinite whole number
        1e6,
        2048.0,
        1.0,
        "%.0f",
        key=state.STRIDE,
        disabled=not windows,
        bind="query-params",
        help="From one window's start to the next. A token sees at least the window less the stride.",
    )


def run_request() -> runs.RunRequest | AnalysisError:
    """The run that model, text and options ask for, or what is wrong with the model."""
    try:
        model = model_spec()
    except AnalysisError as error:
        return error
    return runs.RunRequest(
        model,
        text_of(state.TEXT),
        st.session_state.get(state.BOS, "auto"),
        bool(st.session_state.get(state.PARSE_SPECIAL, True)),
        int(st.session_state.get(state.STRIDE, 2048)) if st.session_state.get(state.WINDOWS) else None,
        runs.LENS_IF_CHEAP,
    )


def _hint_or_estimate(request: runs.RunRequest | AnalysisError) -> None:
    """One line beside the button: what a run will cost, else what to look for."""
    is_short = isinstance(request, runs.RunRequest) and len(request.text) <= _ESTIMATED_CHARACTERS
    if isinstance(request, runs.RunRequest) and is_short and runs.engine().model_slot.spec == request.model:
        try:
            plan = runs.estimate(request.key, 0, request)
        except AnalysisError:
            plan = None  # said in full when the person presses Run
        if plan is not None:
            note = f"{count(plan.n_tokens)} tokens · {duration(plan.seconds)} · {size(plan.bytes_needed)} beside the weights"
            if not plan.fits:
                note += " · does not fit into memory"
            elif plan.seconds > _SLOW_SECONDS:
                note = f"A longer run: {note}"
            st.caption(note)
            return
    example = example_of(text_of(state.TEXT))
    st.caption(plain(example.hint) if example else "")
