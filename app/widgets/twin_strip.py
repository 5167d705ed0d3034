"""Two texts token under token in the app, with the row of their differences: one strip of three."""

from __future__ import annotations

import struct

import streamlit as st

from analysis.comparison.strips import TwinStrip
from app.widgets.canvas import script, style
from app.widgets.token_strip import STRIP_HTML, Selection, about_to_show, mounted, pack, text_identity

_component = st.components.v2.component(
    "logitscope.twin_strip", html=STRIP_HTML, css=style("token_strip"), js=script("strip_view", "twin_strip")
)


def twin_identity(twin: TwinStrip) -> str:
    """The same for the same two texts, whatever their colours."""
    return f"{text_identity(twin.a)}{text_identity(twin.b)}"


def pack_twin(
    twin: TwinStrip,
    selected: int | None = None,
    *,
    revision: int = 0,
    height: int | None = None,
    room: int = 0,
    key: str = "",
) -> bytes:
    """Pack A, B and their differences: the lengths of the first two (u32 each), then three payloads of a strip.

    Parameters
    ----------
    twin : TwinStrip
        What to draw.
    selected, revision, height, room, key
        As for :func:`app.widgets.token_strip.pack`; an item takes the place of a token.
    """
    a = pack(
        twin.a, selected, revision=revision, height=height, room=room, key=key, text_id=twin_identity(twin)
    )
    b, change = pack(twin.b), pack(twin.change)
    return struct.pack("<II", len(a), len(b)) + a + b + change


def picked_item(twin: TwinStrip, *, key: str, selected: int | None = None) -> int | None:
    """The item that :func:`twin_strip_view` is about to show as selected."""
    return about_to_show(twin_identity(twin), twin.a.n_tokens, key=key, selected=selected)


def twin_strip_view(
    twin: TwinStrip, *, key: str, selected: int | None = None, height: int | None = None, room: int = 0
) -> int | None:
    """Draw both strips and return the selected item, as :func:`app.widgets.token_strip.token_strip` does for a token."""

    def payload(now: Selection) -> bytes:
        return pack_twin(twin, now.sent, revision=now.revision, height=height, room=room, key=key)

    identity = twin_identity(twin)
    return mounted(_component, payload, key=key, selected=selected, text_id=identity, n=twin.a.n_tokens)
