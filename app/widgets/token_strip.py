"""The token strip in the app: a canvas that draws a text as coloured tokens.

The browser gets one packed payload and answers with the token a person picked.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st

from analysis.drawing.labels import ODD, SIGNS, spelled_all
from analysis.drawing.numbers import EXACT_DIGITS
from analysis.drawing.strip import Strip
from app import state
from app.widgets.canvas import script, style

STRIP_HTML = """
<div class="ls-strip">
  <div class="ls-head">
    <div class="ls-legend"></div>
    <div class="ls-find">
      <span class="ls-found" aria-live="polite"></span>
      <input type="search" placeholder="Find" aria-label="Find a string in the text. Enter: next, shift and enter: previous."
        title="Find in the text, key /" autocomplete="off" spellcheck="false">
    </div>
  </div>
  <div class="ls-view" tabindex="0" role="application" aria-roledescription="token strip">
    <div class="ls-inner"><canvas></canvas></div>
  </div>
  <div class="ls-tip" hidden></div>
  <div class="ls-live" aria-live="polite"></div>
</div>
"""


_component = st.components.v2.component(
    "logitscope.token_strip",
    html=STRIP_HTML,
    css=style("token_strip"),
    js=script("strip_view", "token_strip"),
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


def _index(value: object, n: int) -> int | None:
    """Return the value if it is a token number of a text of ``n`` tokens, else None."""
    good = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= int(value) < n
    return int(value) if good else None  # type: ignore[call-overload]


def _pick(raw: Any, revision: int, n: int) -> int | None:
    """Token of a browser answer ``[token, revision]`` or a plain ``token``; None if stale or wrong."""
    if isinstance(raw, (list, tuple)):
        return _index(raw[0], n) if len(raw) == 2 and raw[1] == revision else None
    return _index(raw, n)


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
    wanted = _index(selected, n)
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


def _texts(texts: Sequence[str]) -> bytes:
    """Byte offsets (u32, one more than texts) followed by the texts in UTF-8."""
    raw = [t.encode("utf-8", "replace") for t in texts]
    offsets = np.zeros(len(raw) + 1, "<u4")
    np.cumsum([len(r) for r in raw], out=offsets[1:])
    return offsets.tobytes() + b"".join(raw)


def text_identity(strip: Strip) -> str:
    """Short hash of the strip's cells: the same for the same text, whatever its colours."""
    digest = hashlib.blake2b(np.ascontiguousarray(strip.cell, "<i4").tobytes(), digest_size=12)
    digest.update(_texts(strip.cell_text))
    return digest.hexdigest()


def pack(
    strip: Strip,
    selected: int | None = None,
    *,
    revision: int = 0,
    height: int | None = None,
    room: int = 0,
    key: str = "",
    text_id: str = "",
) -> bytes:
    """Pack a strip for the browser.

    Parameters
    ----------
    strip : Strip
        What to draw.
    selected : int or None
        Token to select when ``revision`` is new to the browser.
    revision : int, default 0
        See :class:`Selection`.
    height, room
        As for :func:`token_strip`.
    key : str, default ""
        Name under which the browser remembers selection and scroll position.
    text_id : str, default ""
        Identity of the text, where more than this strip is drawn.

    Returns
    -------
    bytes
        Little endian: u32 header length, header (JSON), f32 values, i32 cell, u8 flags,
        u8 light and dark ramp (256 x 3 each), spelled cell texts, and details if there are any;
        texts as u32 byte offsets followed by UTF-8. The same input gives the same bytes.
    """
    n, cells = strip.n_tokens, len(strip.cell_text)
    if not (math.isfinite(strip.low) and math.isfinite(strip.high)):
        strip = replace(strip, low=0.0, high=1.0)
    header = {
        "n": n,
        "cells": cells,
        "title": strip.title,
        "unit": strip.unit,
        "low": float(strip.low),
        "high": float(strip.high),
        "ends": strip.ends,
        "digits": EXACT_DIGITS,
        "signs": SIGNS,
        "odd": ODD,
        "missing": strip.missing,
        "special": strip.special,
        "marked": strip.marked,
        "span": strip.span,
        "buckets": list(strip.buckets),
        "details": bool(strip.details),
        "selected": _index(selected, n),
        "revision": revision,
        "height": height or 0,
        "room": room,
        "key": key,
        "text_id": text_id or text_identity(strip),
    }
    head = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    arrays = (
        np.ascontiguousarray(strip.values, "<f4"),
        np.ascontiguousarray(strip.cell, "<i4"),
        np.ascontiguousarray(strip.flags, "u1"),
        np.ascontiguousarray(strip.light, "u1"),
        np.ascontiguousarray(strip.dark, "u1"),
    )
    for array, size in zip(arrays, (n, n, n, 768, 768), strict=True):
        if array.size != size:
            raise ValueError(
                f"the strip has {n} tokens, so one of its arrays is wrong: {array.size} != {size}"
            )
    if strip.details and len(strip.details) != n:
        raise ValueError(f"{len(strip.details)} details for {n} tokens")
    if n and (arrays[1][0] < 0 or arrays[1][-1] >= cells or bool((np.diff(arrays[1]) < 0).any())):
        raise ValueError(f"cell numbers have to rise from 0 or more to below {cells}")
    blocks = [
        struct.pack("<I", len(head)),
        head,
        *(a.tobytes() for a in arrays),
        _texts(spelled_all(strip.cell_text)),
    ]
    return b"".join([*blocks, _texts(strip.details)] if strip.details else blocks)


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
