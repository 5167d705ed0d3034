"""Attention sinks, tokens: the text coloured by attention received, and the heads that attend to the chosen token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.attention_sinks import figures
from analysis.attention_sinks.summary import received_frame
from analysis.drawing.labels import visible
from app import one_choice, state
from app.choice import choose
from app.panels.attention_sinks import help as explained
from app.panels.attention_sinks.chosen import about_received, chosen_head, head_line
from app.widgets.figure_card import html_card, notebook_code
from app.widgets.layout import picture_and_choice
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    import pandas as pd

    from analysis.results.trace import Trace

_SCOPES = ("all heads", "chosen layer", "chosen head")


@st.fragment
def tokens(trace: Trace) -> None:
    """Draw the view: a click on a token lists the heads that attend to it."""
    left, right = picture_and_choice("received")
    with left:
        _received(trace)
    with right:
        about_received(trace)


def _received(trace: Trace) -> None:
    attention = figures.need_attention(trace)
    scope = st.session_state.get(state.RECEIVED, st.query_params.get(state.RECEIVED))
    layer, head = chosen_head(attention)
    at_layer = layer if scope in _SCOPES[1:] else None
    at_head = head if scope == _SCOPES[2] else None

    def table() -> pd.DataFrame:
        frame = received_frame(attention, at_layer, at_head)
        frame.insert(1, "token", [visible(t) for t in trace.tokens.text])
        return frame

    with html_card(
        "Attention received",
        "Stronger colour: more of the later tokens' attention. Click a token to see which heads attend to it.",
        lambda: figures.received(trace, layer=at_layer, head=at_head, theme_name=state.theme_name()),
        name="received",
        phrase="by each token, from the tokens after it",
        table=table,
        code=notebook_code(trace, f"an.figures.received(trace, layer={at_layer}, head={at_head})"),
        more=explained.RECEIVED,
    ):
        with st.container(horizontal=True, vertical_alignment="center", key="line_received"):
            choose("From", _SCOPES, key=state.RECEIVED, titled=False, width="content")
            if at_layer is not None:
                head_line(attention)
        chosen = token_strip(
            figures.received_strip(trace, layer=at_layer, head=at_head),
            key="received_strip",
            selected=one_choice.chosen_token(trace.tokens),
            height=560,
        )
    if chosen is not None and chosen < len(trace.tokens):
        one_choice.choose_token(chosen)
