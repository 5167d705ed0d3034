"""The head of a panel about the chosen token: its text, where it is, and the way to its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count
from app import state

if TYPE_CHECKING:
    from analysis.results.tokens import TokenTrace


def chosen_token_line(tokens: TokenTrace, position: int) -> None:
    """Draw the token between two buttons that choose the one before and the one after it."""
    with st.container(
        key="chosen_token", horizontal=True, vertical_alignment="center", gap="xsmall", wrap=False
    ):
        _step(-1, position, len(tokens))
        with st.container(key="chosen_token_word", width="content"):
            st.text(visible(tokens.text[position]), wrap=False)
        _step(1, position, len(tokens))
        st.caption(f"token {count(position)} of {count(len(tokens))}", width="stretch")


def _step(by: int, position: int, n_tokens: int) -> None:
    name = "Next token" if by > 0 else "Previous token"
    st.button(
        "",
        icon=":material/chevron_right:" if by > 0 else ":material/chevron_left:",
        key=f"token_{'next' if by > 0 else 'previous'}",
        type="tertiary",
        help=name,
        disabled=not 0 <= position + by < n_tokens,
        on_click=state.choose_token,
        args=(position + by,),
    )
