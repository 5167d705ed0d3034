"""The frame of the bar at the head of a page: the model, what it gets, options and files behind icons, the button."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app import state
from app.style import switch_projector
from app.widgets.form_popover import form_popover, set_open
from app.widgets.keys_and_theme import KEYS
from app.widgets.layout import icons
from app.widgets.model_choice import model_choice, model_label
from app.widgets.pressed import pressed

_SHOWN_CHARACTERS = 160
"""Of the text, in the bar."""


def bar(
    form: Callable[[], None],
    options: Callable[[], None],
    files: Callable[[], None],
    *,
    button: str = "Run",
    beside: Callable[[], None] | None = None,
    model: tuple[Callable[[], str], Callable[[], None]] = (model_label, model_choice),
) -> tuple[Any, bool]:
    """Draw the frame.

    Parameters
    ----------
    form : callable
        Draws what is behind Edit.
    options, files : callable
        Draw what is behind the two icons.
    button : str
        What the button says.
    beside : callable, optional
        Draws what stands before the button.
    model : tuple of callables
        Gives the label of the chosen model, and draws the choice; the one that reads texts by default.

    Returns
    -------
    (container, bool)
        The place for what happens, to be filled later, and whether the button was pressed.
    """
    with st.container(key="run_bar", border=True, horizontal=True, vertical_alignment="center", gap="xsmall"):
        label, choice = model
        with st.popover(label(), key="model_choice", help="Model, device and precision"):
            choice()
        middle = st.container(key="run_bar_text", horizontal=True, vertical_alignment="center", gap="small")
        with (
            form_popover("Edit", state.EDIT, icon=":material/edit:", type="tertiary"),
            st.container(key="run_form"),
        ):
            form()
        with icons("run"):
            with st.popover(
                "Options", icon=":material/tune:", type="tertiary", help="Options", key="run_options"
            ):
                options()
            with st.popover(
                "File", icon=":material/folder_open:", type="tertiary", help="File", key="run_files"
            ):
                files()
            st.button(
                "Leave projector mode" if state.is_projector() else "Enter projector mode",
                icon=":material/close_fullscreen:" if state.is_projector() else ":material/open_in_full:",
                type="tertiary",
                key="projector_button",
                on_click=switch_projector,
                help=f"Keys: {KEYS}"
                if state.is_projector()
                else "Projector mode: larger type, keys, no menu",
            )
        if beside is not None:
            beside()
        run = pressed(button, key="run_button", at_once=close_form, type="primary", shortcut="Ctrl+Enter")
    return middle, run


def close_form() -> None:
    """Put what is behind Edit away."""
    set_open(state.EDIT, False)


def words(text: str, name: str = "", *, quoted: bool = True) -> None:
    """The beginning of what the model gets, in one line; of a second text in the bar, under a name, quoted if it is one."""
    text = " ".join(text.split())
    shown = f"“{text[:_SHOWN_CHARACTERS]}{'…' * (len(text) > _SHOWN_CHARACTERS)}”" if text else "no text"
    with st.container(key=f"run_bar_words{name}"):
        st.text(shown if quoted else text, wrap=False)
