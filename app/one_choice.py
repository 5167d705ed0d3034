"""The one choice that all pictures share: token, layer and head, in the session and in the address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import state

if TYPE_CHECKING:
    from analysis.results.tokens import TokenTrace


def chosen_token(tokens: TokenTrace) -> int:
    """Position of the chosen token; the first forking token until a person chooses.

    A URL or an older run may name a token that is not there.
    """
    value = state.number_of(state.TOKEN)
    if value is not None and value < len(tokens):
        return value
    from analysis.token_entropy.measures import forking_tokens  # pandas comes with it: not before the heading

    return int(forking_tokens(tokens.entropy).nonzero()[0][0])


def choose_token(position: int) -> None:
    """Choose a token on all pages and in the URL."""
    st.session_state[state.TOKEN] = position
    st.query_params[state.TOKEN] = str(position)


def layer_or_none() -> int | None:
    """Number of the layer that was chosen on any page, or that the URL names; None until there is one."""
    found = state.number_of(state.LAYER)
    return state.number_of("spectrum") if found is None else found  # as older links have it


def choose_layer(layer: int) -> None:
    """Choose a layer on all pages and in the URL."""
    st.session_state[state.LAYER] = layer
    st.query_params[state.LAYER] = str(layer)


def choose_head(layer: int, head: int) -> None:
    """Choose a layer and one of its heads on all pages and in the URL."""
    choose_layer(layer)
    st.session_state[state.HEAD] = head
    st.query_params[state.HEAD] = str(head)
