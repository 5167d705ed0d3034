"""Text from users, models and files: as plain letters where Markdown is read."""

from __future__ import annotations

from analysis.results.tokens import printable

_MEANING = set("\\`*_{}[]()#+-!|<>~$:&^=")


def plain(text: str) -> str:
    """Escape everything that Markdown or Streamlit's directives would act on."""
    flat = " ".join(printable(text).split())
    return "".join(f"\\{c}" if c in _MEANING else c for c in flat)
