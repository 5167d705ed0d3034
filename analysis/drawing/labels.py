"""Token text where it is shown: the same in the strip, in its HTML, in tables and in charts.

White space gets a sign, what cannot be seen is spelled out, a mark without a letter gets a ring. The browser's
strip is sent the spelled text, :data:`SIGNS` and :data:`ODD`, and has no list of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from html import escape

from analysis.results.tokens import printable

SIGNS = {"": "∅", " ": "·", "\t": "→", "\n": "↵", "\r": "\\r", "\u3000": "・"}
"""What stands for white space, and for a text without a character."""
ODD = f"[{''.join(SIGNS)}]|‹U\\+[0-9A-F]{{4,6}}›"
"""Regular expression of what is drawn faintly in a spelled text; Python and JavaScript read it alike."""
_ODD = re.compile(f"({ODD})")
_RING = "◌"
_JOINER = "\u200d"
_BLANK = frozenset("\u00a0\u1680\u202f\u205f\u115f\u1160\u3164\uffa0") | {
    chr(c) for c in range(0x2000, 0x200B)
}
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Zl", "Zp"})


def _is_unseen(char: str) -> bool:
    return char not in SIGNS and (char in _BLANK or unicodedata.category(char) in _UNSEEN)


def _is_mark(char: str) -> bool:
    return unicodedata.category(char).startswith("M")


def _is_picture(char: str) -> bool:
    return ord(char) >= 0x2190 and unicodedata.category(char) in ("So", "Sk", "Mn")


@lru_cache(maxsize=65_536)
def spelled(text: str) -> str:
    """Valid text in which everything but white space of :data:`SIGNS` can be seen.

    An unseen character becomes ``‹U+200B›``, but for a joiner between two pictures, which makes them one; a mark that
    follows no letter sits on a ring.
    """
    text = printable(text)
    out, letter, picture = [], False, False
    for at, char in enumerate(text):
        joins = char == _JOINER and picture and at + 1 < len(text) and _is_picture(text[at + 1])
        if _is_unseen(char) and not joins:
            out.append(f"‹U+{ord(char):04X}›")
        else:
            out.append(_RING + char if _is_mark(char) and not letter else char)
        letter = char not in SIGNS and (joins or not _is_unseen(char))
        picture = _is_picture(char)
    return "".join(out)


def spelled_all(texts: Sequence[str]) -> list[str]:
    """:func:`spelled` of many texts, at a call each: only those that need it are looked through."""
    odd = {char for char in set("".join(texts)) if _is_unseen(char) or _is_mark(char)}
    return [text if odd.isdisjoint(text) else spelled(text) for text in texts] if odd else list(texts)


def runs(text: str) -> Iterator[tuple[str, str]]:
    """What is drawn for a text, piece by piece.

    Yields
    ------
    tuple of (str, str)
        What is drawn, and "letters", "sign" (of white space) or "spelled" (an unseen character).
    """
    if not text:
        yield SIGNS[""], "sign"
    for piece in filter(None, _ODD.split(spelled(text))):
        if piece in SIGNS:
            yield SIGNS[piece], "sign"
        else:
            yield piece, "spelled" if _ODD.fullmatch(piece) else "letters"


def visible(text: str) -> str:
    """Token text for a table, an axis or a sentence."""
    return "".join(shown for shown, _ in runs(text))


def hover_label(text: str) -> str:
    """Token text for a Plotly hover, which would take ``<b>`` for bold and drop ``<|im_end|>``."""
    return escape(visible(text), quote=False)
