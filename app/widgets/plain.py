"""Text from users, models and files: as plain letters where Markdown is read, with white space drawn in tables."""

from __future__ import annotations

_MEANING = set("\\`*_{}[]()#+-!|<>~$:&^=")


def plain(text: str) -> str:
    """Escape everything that Markdown or Streamlit's directives would act on."""
    flat = " ".join(text.encode("utf-8", "replace").decode().split())
    return "".join(f"\\{c}" if c in _MEANING else c for c in flat)


def visible(text: str) -> str:
    """Token text with its white space drawn, valid for a table."""
    shown = text.replace("\n", "↵").replace("\t", "⇥").replace(" ", "·")
    return shown.encode("utf-8", "replace").decode()
