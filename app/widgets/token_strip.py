"""The token strip in the app: a canvas that draws a text as coloured tokens.

The browser gets one packed payload and answers with the token a person picked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from analysis.drawing.browser import module, module_style
from analysis.drawing.strip import Strip
from analysis.drawing.strip_payload import pack, text_identity, token_number
from app import state

_component = st.components.v2.component(
    "logitscope.token_strip", css=module_style("StripView"), js=module("StripView")
)


@dataclass(frozen=True)
class Selection:
    """What is known about the selection of one mounted strip."""

    current: int | None = None
    """The token selected now."""
    sent: int | None = None
    """The token Python asked for last, part of the payload."""
    revision: int = 0
    """Counts the times Python asked; a pick made on an older revision is stale."""
    selected: int | None = None
    """The ``selected`` argument of the last run."""
    raw: Any = None
    """The browser's answer in the last run."""
    text_id: str = ""
    """Which text the numbers belong to."""


def _pick(raw: Any, revision: int, n: int) -> int | None:
    """Token of a browser answer ``[token, revision]`` or a plain ``token``; None if stale or wrong."""
    if isinstance(raw, (list, tuple)):
        return token_number(raw[0], n) if len(raw) == 2 and raw[1] == revision else None
    return token_number(raw, n)


def resolve(before: Selection, raw: Any, selected: int | None, text_id: str, n: int) -> Selection:
    """Decide which token is selected: the person's pick or Python's choice, the newer one.

    Parameters
    ----------
    before : Selection
        State after the last run; a fresh ``Selection()`` at the first.
    raw : object
        The browser's answer in this run, None before the first pick.
    selected : int or None
        Token Python asks for; None asks for nothing.
    text_id : str
        Identity of the text; a new text drops the selection of the old one.
    n : int
        Number of tokens.

    Returns
    -------
    Selection
        The state to keep. ``sent`` and ``revision`` change only when the browser has to follow.
    """
    wanted = token_number(selected, n)
    now = replace(before, raw=raw, selected=wanted, text_id=text_id)
    if not before.text_id:
        current = _pick(raw, 0, n) if raw is not None else wanted
        return replace(now, current=current, sent=current)
    if text_id != before.text_id:
        return replace(now, current=wanted, sent=wanted, revision=before.revision + 1)
    picked = _pick(raw, before.revision, n) if raw != before.raw else None
    if picked is not None:
        return replace(now, current=picked)
    if raw is None and before.raw is not None:  # shown anew, for example after a visit to another page
        current = wanted if wanted is not None and wanted != before.selected else before.current
        return replace(now, current=current, sent=current, revision=before.revision + 1)
    if wanted is not None and wanted not in (before.selected, before.current):
        return replace(now, current=wanted, sent=wanted, revision=before.revision + 1)
    return now


def picked_token(strip: Strip, *, key: str, selected: int | None = None) -> int | None:
    """The token that :func:`token_strip` is about to show as selected, for a strip that is drawn from it."""
    return about_to_show(text_identity(strip), strip.n_tokens, key=key, selected=selected)


def about_to_show(text_id: str, n: int, *, key: str, selected: int | None) -> int | None:
    """The token that :func:`mounted` is about to show as selected; arguments as there."""
    raw = (st.session_state.get(key) or {}).get("token")
    before = st.session_state.get(state.strip_selection(key), Selection())
    return resolve(before, raw, selected, text_id, n).current


def token_strip(
    strip: Strip, *, key: str, selected: int | None = None, height: int | None = None, room: int = 0
) -> int | None:
    """Draw a strip and return the selected token.

    Parameters
    ----------
    strip : Strip
        What to draw.
    key : str
        Streamlit key; keeps selection and scroll position over reruns and recolouring.
    selected : int or None
        Token to select. It acts when it changes: the token is selected and scrolled into
        view. A person's later pick wins until it changes again. None asks for nothing.
    height : int, optional
        Tallest the text may get before it scrolls, in pixels, cut between two lines; 60 % of the window by default.
    room : int, default 0
        Pixels at the beginning of the legend's line for controls of the page, where the strip is twice as wide; the
        strip then leaves its title to them.

    Returns
    -------
    int or None
        The token selected now, None while there is none.
    """
    text_id = text_identity(strip)

    def payload(now: Selection) -> bytes:
        return pack(strip, now.sent, revision=now.revision, height=height, room=room, key=key)

    return mounted(_component, payload, key=key, selected=selected, text_id=text_id, n=strip.n_tokens)


def mounted(
    component: Callable[..., Any],
    payload: Callable[[Selection], bytes],
    *,
    key: str,
    selected: int | None,
    text_id: str,
    n: int,
) -> int | None:
    """Draw a component that is told which token is selected, and answers; gives the one selected now.

    Parameters
    ----------
    component : callable
        Made by ``st.components.v2.component``.
    payload : callable
        What the browser gets for a selection.
    key, selected
        As for :func:`token_strip`.
    text_id : str
        Identity of what is drawn.
    n : int
        Number of tokens.
    """
    before = st.session_state.get(state.strip_selection(key), Selection())
    now = resolve(before, (st.session_state.get(key) or {}).get("token"), selected, text_id, n)
    result = component(key=key, data=payload(now), default={"token": None}, on_token_change=lambda: None)
    now = resolve(now, result.get("token"), selected, text_id, n)
    st.session_state[state.strip_selection(key)] = now
    return now.current
