"""A field of text that the page fills in as well, and that keeps its text between pages."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import state


def text_field(label: str, name: str, height: int, **options: Any) -> None:
    """Draw the field; :func:`text_of` reads it.

    The browser and the app write at the same time, and on a slow machine their messages cross. So the app never
    tells a field another text than the one it was made with: that would replace what a person has typed meanwhile,
    and the browser would send it back as theirs. What it was made with is its default, which Streamlit tells only to
    a field that has no text of its own.

    Parameters
    ----------
    label, height, **options
        As for ``st.text_area``.
    name : str
        Key of :mod:`app.state` under which stands what the field begins with.
    """
    with st.container(key=f"field_{name}"):  # in which the style sheet hides the old one of two
        st.text_area(
            label,
            text_of(name),
            height=height,
            key=state.widget_key(name),
            persist_state="session",
            **options,
        )


def text_of(name: str) -> str:
    """What is in the field, or what it will begin with."""
    value = st.session_state.get(state.widget_key(name), st.session_state.get(name))
    return "" if value is None else str(value)


def fill_in(name: str, text: str) -> None:
    """Put a text into the field, which then is a new one; for callbacks, or before it is drawn."""
    st.session_state.pop(state.widget_key(name), None)
    st.session_state[state.renewals(name)] = st.session_state.get(state.renewals(name), 0) + 1
    st.session_state[name] = text
