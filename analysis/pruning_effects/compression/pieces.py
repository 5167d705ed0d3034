"""A text in pieces: words and sentences, the tokens that make them, and what is left when some go.

No model and no list of a language beyond a few abbreviations. Every character of the text
belongs to exactly one piece, and a shorter text is made of pieces of the original only.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from analysis.models.tokenization import TokenizedText

Unit = Literal["token", "word", "sentence"]
UNITS: tuple[Unit, ...] = get_args(Unit)
"""What is kept or dropped as a whole."""

_ENDS = frozenset(".!?…。！？｡")
_WIDE_ENDS = frozenset("。！？｡")
"""Ends of sentences that no space follows."""
_CLOSING = frozenset("\"'”’»)]}」』）")
_INSIDE_WORDS = frozenset("'’.,-_")
_DOTTED = "mr mrs ms dr prof sr jr st vs etc eg e.g ie i.e cf no fig vol p pp ca approx dept inc ltd co"
_ABBREVIATIONS = frozenset(_DOTTED.split())
"""Words whose dot ends no sentence."""


_WORDY = ("word", "wide")


def _kind(character: str) -> str:
    """Class of a character: space, word, wide (a word by itself) or other."""
    if character.isspace():
        return "space"
    category = unicodedata.category(character)
    if category[0] in "LN":
        wide = unicodedata.east_asian_width(character) == "W"
        return "wide" if wide and "HANGUL" not in unicodedata.name(character, "") else "word"
    return "word" if category[0] == "M" else "other"


def words(text: str) -> list[tuple[int, int]]:
    """Spans of the words of a text, each with the white space before it.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    list of (int, int)
        Without gaps from 0 to ``len(text)``; white space at the end goes to the last word.

    Notes
    -----
    A word is a run of letters, digits and marks, with an apostrophe, dot, comma or hyphen
    between two of them inside (``don't``, ``3.5``, ``well-known``); a run of other
    characters is a piece of its own. Characters of scripts written without spaces and of
    double width (Han, kana) are words by themselves; Thai and its like are not split.
    """
    kinds = [_kind(c) for c in text]
    for i in range(1, len(text) - 1):
        if text[i] in _INSIDE_WORDS and kinds[i - 1] == kinds[i + 1] == "word":
            kinds[i] = "word"
    starts = [0]
    for i in range(1, len(text)):
        before, here = kinds[i - 1], kinds[i]
        if before != "space" and (here != before or here == "wide"):
            starts.append(i)
    if len(starts) > 1 and not text[starts[-1] :].strip():
        starts.pop()
    return list(zip(starts, [*starts[1:], len(text)], strict=True)) if text else []


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences of a text, each with the white space before it.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    list of (int, int)
        Without gaps from 0 to ``len(text)``.

    Notes
    -----
    A sentence ends after ``. ! ? …``, closing quotes and brackets included, where white
    space and no small letter follows, and after their full-width forms anywhere; a line
    break ends one too. Initials and a few abbreviations end none.
    """
    starts, i, n = [0], 0, len(text)
    while i < n:
        end = _after_end(text, i)
        if end is not None and text[starts[-1] : end].strip() and text[end:].strip():
            starts.append(end)
        i = max(i + 1, end or 0)
    return list(zip(starts, [*starts[1:], n], strict=True)) if text else []


def _after_end(text: str, i: int) -> int | None:
    """Where the sentence that ends at character i ends, or None if none does."""
    if text[i] == "\n":
        return i
    if text[i] not in _ENDS:
        return None
    end = i + 1
    while end < len(text) and text[end] in _ENDS | _CLOSING:
        end += 1
    if any(c in _WIDE_ENDS for c in text[i:end]):
        return end
    if end < len(text) and not text[end].isspace():
        return None
    following = text[end:].lstrip()[:1]
    if following.islower() or (text[i] == "." and end == i + 1 and _is_abbreviation(text[:i])):
        return None
    return end


def _is_abbreviation(before: str) -> bool:
    """Whether the text before a dot ends in an initial or an abbreviation."""
    last = before[-12:].split()[-1] if before[-12:].split() else ""
    last = last.lstrip("(\"'“‘")
    return last.lower() in _ABBREVIATIONS or (len(last) == 1 and last.isupper() and last != "I")


def paragraphs(text: str) -> list[tuple[int, int]]:
    """Spans of the paragraphs of a text: blank lines part them and go before the next one."""
    starts, at = [0], 0
    while (at := text.find("\n\n", at)) >= 0:
        if text[starts[-1] : at].strip() and text[at:].strip():
            starts.append(at)
        at += 2
    return list(zip(starts, [*starts[1:], len(text)], strict=True)) if text else []


@dataclass(frozen=True, eq=False)
class Units:
    """The pieces of one text that are kept or dropped as a whole."""

    of_token: np.ndarray
    """int64, (T,), never falling: unit of each token."""
    start: np.ndarray
    """int64, (U,): first character of each unit; the first is 0."""
    end: np.ndarray
    """int64, (U,): one past its last character."""

    def __len__(self) -> int:
        return len(self.start)

    def mean(self, per_token: np.ndarray) -> np.ndarray:
        """Mean of the tokens' values per unit, (T,) -> (U,) float64; NaN where one is NaN."""
        sums = np.bincount(self.of_token, weights=per_token, minlength=len(self))
        return sums / np.bincount(self.of_token, minlength=len(self))


def units_of(text: str, tokens: TokenizedText, unit: Unit) -> Units:
    """Group the tokens of a text into units.

    Parameters
    ----------
    text : str
        The text.
    tokens : TokenizedText
        Its tokens, without a beginning-of-text token.
    unit : {"token", "word", "sentence"}
        Tokens that share a character always stay together. A word or sentence that begins
        inside a token joins the one before.

    Returns
    -------
    Units
    """
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {UNITS}, got {unit!r}")
    at = len(text)
    begin = np.empty(len(tokens), np.int64)
    for t in range(len(tokens) - 1, -1, -1):  # a token without text stays with the next one that has some
        at = int(tokens.start[t]) if tokens.start[t] >= 0 else at
        begin[t] = at
    if unit == "token":
        boundaries = set(begin.tolist())
    else:
        boundaries = {a for a, _ in (words(text) if unit == "word" else sentences(text))}
    is_new = np.zeros(len(tokens), bool)
    opened = -1
    for t, place in enumerate(begin.tolist()):
        shares = t > 0 and tokens.cell[t] == tokens.cell[t - 1]
        if t == 0 or (not shares and place in boundaries and opened < place < len(text)):
            is_new[t], opened = True, place
    start = begin[is_new]
    start[0] = 0
    return Units(np.cumsum(is_new) - 1, start, np.append(start[1:], len(text)))


def kept_spans(text: str, units: Units, keep: np.ndarray) -> np.ndarray:
    """Spans of the original text that a choice of units leaves.

    Parameters
    ----------
    text : str
        The original.
    units : Units
        Its units.
    keep : numpy.ndarray of bool, shape (U,)
        Which of them stay.

    Returns
    -------
    numpy.ndarray, int64, shape (S, 2)
        Rising and apart. Joined in order they are the shorter text.

    Notes
    -----
    Where something dropped held the only white space between two kept words, one
    character of it stays (a line break if there was one), so that they do not grow together.
    """
    spans: list[list[int]] = []
    for u in np.flatnonzero(keep):
        a, b = int(units.start[u]), int(units.end[u])
        if spans and spans[-1][1] == a:
            spans[-1][1] = b
            continue
        if spans and _kind(text[spans[-1][1] - 1]) in _WORDY and _kind(text[a]) in _WORDY:
            place = _space_in(text, spans[-1][1], a)
            if place == spans[-1][1]:
                spans[-1][1] += 1
            elif place is not None and place + 1 == a:
                a = place
            elif place is not None:
                spans.append([place, place + 1])
        spans.append([a, b])
    return np.array(spans, np.int64).reshape(-1, 2)


def _space_in(text: str, start: int, end: int) -> int | None:
    """The first line break of a stretch, else its first white space, else None."""
    gap = text[start:end]
    places = [i for i, c in enumerate(gap) if c == "\n"] or [i for i, c in enumerate(gap) if c.isspace()]
    return start + places[0] if places else None


def joined(text: str, spans: np.ndarray) -> str:
    """The shorter text."""
    return "".join(text[a:b] for a, b in spans.tolist())
