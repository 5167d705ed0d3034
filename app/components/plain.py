"""Text from users, models and files as plain letters in places that read Markdown."""

from __future__ import annotations

_MEANING = set("\\`*_{}[]()#+-!|<>~$:&^=")


def plain(text: str) -> str:
    """Escape everything that Markdown or Streamlit's directives would act on."""
    flat = " ".join(text.encode("utf-8", "replace").decode().split())
    return "".join(f"\\{c}" if c in _MEANING else c for c in flat)
