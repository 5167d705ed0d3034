"""What is behind Edit on the page Compare: the text, and "B is A, but ..." with its options."""

from __future__ import annotations

from typing import Any

import streamlit as st

from analysis.models.spec import PRECISIONS
from app import state
from app.panels.compare.request import (
    GRID,
    KEPT,
    KINDS,
    METHOD,
    OTHER_WORD,
    SHIPPED,
    SINKS,
    STRENGTH,
    STRENGTHS,
    WINDOW,
)
from app.widgets.plain import plain
from app.widgets.run_status import is_file_opened
from app.widgets.text_field import fill_in, text_field, text_of
from app.widgets.text_form import text_form

_LONGEST = 200_000
_BOUND: dict[str, Any] = {"bind": "query-params", "persist_state": "session"}


def compare_form() -> None:
    """Side A's text, and in what B differs."""
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Side A**")
        if is_file_opened():
            st.caption("The opened run.")
        else:
            text_form()
    with right:
        st.markdown("**Side B**")
        kind = st.selectbox(
            "B is A, but",
            list(KINDS),
            key=state.CHANGE_KIND,
            format_func=lambda name: KINDS[name].label,
            **_BOUND,
        )
        st.caption(KINDS[kind].help)
        _OPTIONS[kind]()


def _text(kind: str, label: str, height: int) -> None:
    text_field(label, state.change_text(kind), height, max_chars=_LONGEST)


def begin_form() -> None:
    """The other text begins as A's with one word changed."""
    text = text_of(state.TEXT)
    if text and not text_of(state.change_text("text")):
        for word, other in OTHER_WORD.items():
            text = text.replace(word, other, 1)
        fill_in(state.change_text("text"), text)


def _bos() -> None:
    st.selectbox("Beginning-of-text token of B", ("never", "always"), key=state.CHANGE_BOS, **_BOUND)


def _adapter() -> None:
    st.text_input(
        "Adapter",
        key=state.CHANGE_ADAPTER,
        placeholder=f"{SHIPPED}: tuned by us on 64 invented passages",
        max_chars=500,
        help="A folder or hub id of a LoRA adapter; empty for the one that comes with the project.",
        **_BOUND,
    )
    low, high, step = STRENGTHS
    st.slider(
        "Strength",
        low,
        high,
        STRENGTH,
        step,
        key=state.CHANGE_STRENGTH,
        help="Factor on what the adapter adds to the weights; 0 is A itself.",
        **_BOUND,
    )


def _precision() -> None:
    st.selectbox("Precision of B", PRECISIONS[1:], index=1, key=state.CHANGE_PRECISION, **_BOUND)


def _rounded() -> None:
    from analysis.comparison.round_trip import ROUNDINGS  # torch comes with it

    st.selectbox("Grid", ROUNDINGS, index=ROUNDINGS.index(GRID), key=state.CHANGE_GRID, **_BOUND)


def _visibility() -> None:
    left, right = st.columns(2)
    # floats, because Streamlit fails on a link with an infinite whole number
    left.number_input(
        "Last tokens seen", 1.0, 1e6, float(WINDOW), 1.0, "%.0f", key=state.CHANGE_WINDOW, **_BOUND
    )
    right.number_input(
        "First tokens seen", 0.0, 1e4, float(SINKS), 1.0, "%.0f", key=state.CHANGE_SINKS, **_BOUND
    )


def _eviction() -> None:
    from analysis.pruning_effects.eviction.policies.registry import POLICIES  # torch comes with it

    names = [name for name in POLICIES if name != "full"]
    st.selectbox(
        "Method",
        names,
        index=names.index(METHOD),
        format_func=lambda name: POLICIES[name].label,
        key=state.CHANGE_METHOD,
        **_BOUND,
    )
    st.slider("Share kept", 0.05, 1.0, KEPT, 0.05, key=state.CHANGE_KEPT, **_BOUND)


def _model() -> None:
    st.text_input(
        "Model of B", key=state.CHANGE_MODEL, placeholder="org/name, /path/to/folder/ or /path/to/model.gguf",
        max_chars=500, **_BOUND,
    )  # fmt: skip
    st.text_input("Revision of B", key=state.CHANGE_REVISION, placeholder="main", max_chars=200, **_BOUND)


def _file() -> None:
    held = st.session_state.get(state.SECOND_RUN)
    st.caption(f"Opened: {plain(held[1])}" if held else "Nothing is opened yet.")


_OPTIONS = {
    "text": lambda: _text("text", "Text of B", 200),
    "before": lambda: _text("before", "Text in front", 120),
    "system": lambda: _text("system", "System message", 120),
    "bos": _bos,
    "adapter": _adapter,
    "precision": _precision,
    "rounded": _rounded,
    "untrained": lambda: None,
    "visibility": _visibility,
    "eviction": _eviction,
    "model": _model,
    "file": _file,
}
