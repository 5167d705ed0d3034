"""Which tokens a map draws where a model saw the picture in crops, and small as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.choice import chosen

if TYPE_CHECKING:
    from analysis.visual_tokens.results import SeenPicture

PARTS = ("crops", "whole")


def shows_whole(picture: SeenPicture) -> bool:
    """Whether maps draw the tokens of the small whole picture; False where there is nothing to choose."""
    return picture.in_crops_and_whole and chosen(PARTS, state.MAP_PART) == "whole"


def part_control(picture: SeenPicture) -> None:
    """Let a person choose, where there is something to choose; what may be chosen says what is drawn."""
    if not picture.in_crops_and_whole:
        return
    words = {
        "crops": f"{picture.n_in_crops} tokens of the crops",
        "whole": f"{len(picture) - picture.n_in_crops} of the small whole picture",
    }
    st.selectbox(
        "Tokens drawn",
        PARTS,
        key=state.MAP_PART,
        format_func=words.__getitem__,
        bind="query-params",
        persist_state="session",
        label_visibility="collapsed",
        width=260,
    )
