"""Paths as people paste them: with blanks around them, in quotes, or as a ``file://`` address."""

from __future__ import annotations

from urllib.parse import unquote

_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’"}


def clean_path(text: str) -> str:
    """Take a pasted path out of what stands around it.

    Parameters
    ----------
    text : str
        A path or a hub id, as it was pasted.

    Returns
    -------
    str
        Without blanks at its ends, one pair of matching quotes, and ``file://`` (whose ``%20`` become
        blanks again). Anything else comes back as it is.
    """
    text = text.strip()
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() == "file":
        text = unquote(rest.removeprefix("localhost"))
    return text
