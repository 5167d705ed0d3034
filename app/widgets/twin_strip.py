"""Two texts token under token in the app, with the row of their differences: one strip of three."""

from __future__ import annotations

import streamlit as st

from analysis.comparison.strips import TwinStrip
from analysis.comparison.twin_payload import pack_twin, twin_identity
from analysis.drawing.browser import module, module_style
from app.widgets.token_strip import Selection, about_to_show, mounted

_component = st.components.v2.component(
    "logitscope.twin_strip", css=module_style("TwinView"), js=module("TwinView")
)


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
