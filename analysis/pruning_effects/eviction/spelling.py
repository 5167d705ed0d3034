"""Token names back to text: cells for a strip, and where a phrase stands.

A token that is a piece of a character is named by its bytes, as in ``‹E6›``, see
:func:`analysis.models.tokenization.token_text`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_BYTE = re.compile(r"‹([0-9A-F]{2})›")
_MOST_PIECES = 8
"""Tokens that may share one cell."""


def name_bytes(name: str) -> bytes:
    """Bytes that a token's name stands for."""
    parts = _BYTE.split(name)  # text, byte, text, byte, ..., text
    return b"".join(
        bytes([int(part, 16)]) if at % 2 else part.encode("utf-8", "replace") for at, part in enumerate(parts)
    )


def cells(names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Group tokens that are pieces of one character.

    Parameters
    ----------
    names : sequence of str
        Token names in reading order.

    Returns
    -------
    cell : ndarray, int32, shape (T,)
        Cell of each token, never falling.
    cell_text : tuple of str
        Text of each cell; a piece without its neighbours keeps its name.
    """
    cell = np.zeros(len(names), np.int32)
    texts: list[str] = []
    at = 0
    while at < len(names):
        size, text = _whole(names[at : at + _MOST_PIECES])
        cell[at : at + size] = len(texts)
        texts.append(text)
        at += size
    return cell, tuple(texts)


def _whole(names: Sequence[str]) -> tuple[int, str]:
    """How many of the first tokens make whole characters together, and which."""
    if "‹" not in names[0]:
        return 1, names[0]
    together = b""
    for size, name in enumerate(names, 1):
        together += name_bytes(name)
        try:
            return size, together.decode()
        except UnicodeDecodeError:
            continue
    return 1, names[0]


def find_phrase(names: Sequence[str], phrase: str) -> np.ndarray:
    """Tokens that a phrase touches, wherever it occurs, upper and lower case told apart.

    Parameters
    ----------
    names : sequence of str
        Token names in reading order.
    phrase : str
        Text to find; white space around it is left out.

    Returns
    -------
    ndarray, int64
        Sorted positions of tokens; empty if the phrase does not occur.
    """
    wanted = phrase.strip().encode("utf-8", "replace")
    spelled = [name_bytes(name) for name in names]
    text, ends = b"".join(spelled), np.cumsum([len(part) for part in spelled])
    touched: set[int] = set()
    at = text.find(wanted) if wanted else -1
    while at >= 0:
        first, last = np.searchsorted(ends, [at, at + len(wanted) - 1], side="right")
        touched.update(range(int(first), int(last) + 1))
        at = text.find(wanted, at + 1)
    return np.array(sorted(touched), np.int64)
