"""What the page listens to: a switch of the theme, and the keys of the projector mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from app import one_choice, state
from app.widgets.run_status import shown_run

KEYS = "← → next token · V next view · P next page"
_component = st.components.v2.component(
    "logitscope.keys_and_theme",
    html='<span class="ground"></span>',
    css=".ground { position: fixed; background-color: var(--st-background-color); transition: background-color 1ms; }",
    js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
)


def keys_and_theme() -> None:
    """Draw the page again when its theme changes, and obey the keys of the projector mode."""
    with st.container(key="keys_and_theme"):
        _component(
            key=state.WATCHED,
            data={"keys": state.is_projector() and state.LESSON not in st.query_params},
            on_theme_change=lambda: None,
            on_step_change=_step,
        )


def _step() -> None:
    """Choose a token so many further on."""
    answer: Any = st.session_state[state.WATCHED]
    tokens = shown_run().tokens
    position = one_choice.chosen_token(tokens) + int(answer.step)
    one_choice.choose_token(min(max(position, 0), len(tokens) - 1))
