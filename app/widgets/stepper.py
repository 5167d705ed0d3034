"""The line of a chosen thing: previous, its name, next. The words on the buttons are for screen readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.widgets.plain import plain


def stepper(name: str, title: str, what: str, at: int, n: int, choose: Callable[[int], Any]) -> None:
    """Draw the line; the buttons choose the neighbour.

    Parameters
    ----------
    name : str
        Unique short name.
    title : str
        Of what is chosen; drawn as plain letters.
    what : str
        What one is, such as "token".
    at, n : int
        Which of how many is chosen.
    choose : callable
        Chooses one by its number.
    """
    with st.container(key=f"stepper_{name}", horizontal=True, vertical_alignment="center", gap="xxsmall"):
        step_button(name, f"Previous {what}", "left", at - 1, n, choose)
        st.markdown(f"**{plain(title)}**", width="stretch")
        step_button(name, f"Next {what}", "right", at + 1, n, choose)


def step_button(name: str, label: str, side: str, to: int, n: int, choose: Callable[[int], Any]) -> None:
    """Draw one of the two buttons, "left" or "right"; off at the end of the n."""
    st.button(
        label,
        icon=f":material/chevron_{side}:",
        key=f"{name}_{side}",
        type="tertiary",
        help=label,
        disabled=not 0 <= to < n,
        on_click=choose,
        args=(to,),
    )
