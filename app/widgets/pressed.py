"""Buttons whose press is obeyed also where the script run that is told of it does not come as far as the button.

What ``st.button`` returns belongs to one script run. The next step of the person cuts that short, and on a slow
machine it often has not drawn the button by then. A callback is called before anything is drawn; it notes the press.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app import state


def pressed(
    label: str, *, key: str, place: Any = st, at_once: Callable[[], None] | None = None, **options: Any
) -> bool:
    """Draw the button, and say whether it was pressed since it was last asked.

    Parameters
    ----------
    label, key, **options
        As for ``st.button``.
    place : container, optional
        Where to draw it.
    at_once : callable, optional
        What else to do before the page is drawn again.

    Returns
    -------
    bool
        True once for a press.
    """
    place.button(label, key=key, on_click=_note, args=((key, label), at_once), **options)
    if st.session_state.get(state.PRESSED) != (key, label):
        return False
    forget_pressed()
    return True


def forget_pressed() -> None:
    """Drop a press that nothing on the page has asked about; at the end of a script run."""
    st.session_state.pop(state.PRESSED, None)


def _note(button: tuple[str, str], at_once: Callable[[], None] | None) -> None:
    st.session_state[state.PRESSED] = button
    if at_once is not None:
        at_once()
