"""The views of token entropy: the chosen one beside the chosen token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import one_choice, state
from app.choice import choose
from app.panels.token_entropy.charts import along_the_text, scatter, token_table
from app.panels.token_entropy.lens import lens
from app.panels.token_entropy.strip import strip_card
from app.panels.token_entropy.token_detail import token_detail
from app.widgets.clicks import take_click
from app.widgets.layout import picture_and_choice
from app.widgets.run_status import finished_run

if TYPE_CHECKING:
    from analysis.results.trace import Trace

_VIEWS = ("text", "lens", "scatter")


def chosen_view(line: Any) -> str:
    """Let a person choose what is drawn, at the end of the heading's line."""
    view: str = choose("View", _VIEWS, key=state.ENTROPY_VIEW, place=line, titled=False)
    return view


@st.fragment
def view_and_token(trace: Trace, view: str) -> None:
    """Draw the chosen view and the chosen token; a token chosen in a view is the one beside it."""
    take_click(state.ALONG_CHART)
    take_click(state.SCATTER_CHART)
    if finished_run() is not None:  # a token of the address may not be there yet in the stored example
        one_choice.choose_token(one_choice.chosen_token(trace.tokens))
    left, right = picture_and_choice("token_entropy")
    with left:
        if view == "text":
            strip_card(trace)
            along_the_text(trace)
        elif view == "lens":
            lens(trace)
        else:
            scatter(trace)
            token_table(trace)
    with right:
        token_detail(trace, one_choice.chosen_token(trace.tokens))
