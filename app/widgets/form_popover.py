"""A form behind a button, which the page closes or opens itself."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import state


def form_popover(label: str, name: str, **options: Any) -> Any:
    """Draw the button.

    Streamlit's browser part follows the page only where that says something else than the last time. On a slow
    machine opening and closing may reach the page as one, which then has nothing new to say, and the form stays. So
    whatever the page opens or closes is a new form.

    Parameters
    ----------
    label, **options
        As for ``st.popover``.
    name : str
        Unique short name, for :func:`set_open`.
    """
    return st.popover(label, key=state.widget_key(name), on_change="rerun", **options)


def set_open(name: str, is_open: bool) -> None:
    """Open or close the form; for callbacks."""
    st.session_state[state.renewals(name)] = st.session_state.get(state.renewals(name), 0) + 1
    st.session_state[state.widget_key(name)] = is_open
