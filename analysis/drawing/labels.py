"""Token text where a chart shows it: white space visible, valid Unicode, nothing rendered."""

from __future__ import annotations

from html import escape


def axis_label(text: str) -> str:
    """Token text for an axis or a hover: quoted, white space visible, valid Unicode."""
    shown = text.replace("\n", "↵").replace("\t", "⇥").replace(" ", "·")
    return shown.encode("utf-8", "replace").decode()


def hover_label(text: str) -> str:
    """Token text for a Plotly hover, which would take ``<b>`` for bold and drop ``<|im_end|>``."""
    return escape(axis_label(text), quote=False)
