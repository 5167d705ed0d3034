"""Tokens to text: what the bytes of a row of tokens spell, and which characters each token covers."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Decoded:
    """The text of a row of tokens. Every array has one entry per token."""

    text: str
    """Bytes that are no character stand in it as U+FFFD."""
    start: np.ndarray
    """int32, (T,): first character covered, -1 for a token without any."""
    end: np.ndarray
    """int32, (T,): one past the last character covered."""
    n_bytes: np.ndarray
    """int32, (T,): bytes the token stands for."""
    cell: np.ndarray
    """int32, (T,): tokens that share a character share a cell."""
    cell_text: tuple[str, ...]
    """Text of each cell; of a token without text its name."""


def decode(pieces: Sequence[bytes], names: Sequence[str]) -> Decoded:
    """Spell out a row of tokens.

    Parameters
    ----------
    pieces : sequence of bytes
        What each token stands for.
    names : sequence of str
        What a screen writes for each token.
    """
    text, char_at = _characters(b"".join(pieces))
    start, end = np.full(len(pieces), -1, np.int32), np.full(len(pieces), -1, np.int32)
    cell = np.zeros(len(pieces), np.int32)
    spans: list[tuple[int, int, int]] = []
    at = covered = 0
    for t, piece in enumerate(pieces):
        inside = 0 < at < len(char_at) and char_at[at] == char_at[at - 1] and covered > 0
        if piece:
            start[t], end[t] = char_at[at], char_at[at + len(piece) - 1] + 1
            at += len(piece)
            covered = int(end[t])
        if inside:
            first, last, named = spans[-1]
            spans[-1] = (first, max(last, covered), named)
        else:
            spans.append((int(start[t]), int(end[t]), t) if piece else (covered, covered, t))
        cell[t] = len(spans) - 1
    cells = tuple(text[a:b] if b > a else names[t] for a, b, t in spans)
    return Decoded(text, start, end, np.array([len(p) for p in pieces], np.int32), cell, cells)


def _characters(data: bytes) -> tuple[str, list[int]]:
    """The text of bytes, and for every byte the number of the character it is part of."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    written: list[str] = []
    char_at: list[int] = []
    count = waiting = 0
    for at in range(len(data) + 1):
        byte = data[at : at + 1]
        said = decoder.decode(byte, final=not byte)
        waiting += len(byte)
        held = len(decoder.getstate()[0])
        if said:
            # One character of all bytes; or one each; or one of those that were held, and one of the newest.
            done = waiting - held
            each = len(said) == done
            char_at += [count + (i if each else int(len(said) > 1 and i == done - 1)) for i in range(done)]
            written.append(said)
            count += len(said)
            waiting = held
    return "".join(written), char_at
