"""Where the rounds of a conversation begin in a text, and how old each token's round is."""

from __future__ import annotations

import re

import numpy as np


def round_starts(text: str, start: np.ndarray, end: np.ndarray, mark: str) -> tuple[int, ...]:
    r"""Tokens at which a round begins, the first round left out.

    Parameters
    ----------
    text : str
        The conversation.
    start, end : numpy.ndarray of int, shape (T,)
        Characters that each token covers; -1 for an added token.
    mark : str
        What stands at the beginning of a round, such as ``"<|im_start|>user"`` or a blank line, ``"\n\n"``; a line
        break of it may be written ``\r\n`` in the text.

    Returns
    -------
    tuple of int
        Rising. What stands before the first mark is a round of its own. A mark with nothing but white space before it
        in the text, or up to the next mark or the end, begins none. A token that covers a mark's first character
        belongs to the new round.

    Raises
    ------
    ValueError
        If the mark is empty.
    """
    if not mark:
        raise ValueError("a mark has at least one character")
    found = [(m.start(), m.end()) for m in re.finditer(r"\r?\n".join(map(re.escape, mark.split("\n"))), text)]
    until = [*(first for first, _ in found), len(text)][1:]
    begins = [
        first
        for (first, after), stop in zip(found, until, strict=True)
        if text[:first].strip() and text[after:stop].strip()
    ]
    inside = np.flatnonzero(start >= 0)
    places = np.searchsorted(end[inside], begins, side="right")  # ends of tokens never fall
    return tuple(sorted({int(inside[place]) for place in places if 0 < place < len(inside)}))


def rounds_since(n: int, starts: tuple[int, ...]) -> np.ndarray:
    """Rounds that have begun after that of each token, int64, (n,): 0 in the last one."""
    number = np.searchsorted(np.asarray(starts, np.int64), np.arange(n), side="right")
    return np.asarray(number.max(initial=0) - number)
