"""Texts that end what is written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.models.token_names import token_pieces


class StopText:
    """Looks for texts at the end of what was written.

    Parameters
    ----------
    tokenizer
        transformers' tokenizer.
    texts : sequence of str
        Any of them ends a branch; the token that completes it is kept.
    """

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        if isinstance(texts, str) or not all(isinstance(text, str) and text for text in texts):
            raise AnalysisError(
                "A stop text is empty or no text.", "Give a list of texts, such as ['\\n\\n']."
            )
        self._tokenizer = tokenizer
        self._texts = [text.encode("utf-8", "replace") for text in texts]
        self._pieces: dict[int, bytes] = {}

    def reached(self, ids: Sequence[int], before: Sequence[int] | np.ndarray = ()) -> bool:
        """Whether the newest of these tokens completes one of the texts; it may begin in what was written before."""
        if not self._texts or not ids:
            return False
        newest = self._piece(ids[-1])
        longest = max(map(len, self._texts))
        tail = newest
        for token in chain(reversed(ids[:-1]), reversed(before)):
            if len(tail) >= longest + len(newest):
                break
            tail = self._piece(int(token)) + tail
        return any(
            tail.find(text, max(0, len(tail) - len(newest) - len(text) + 1)) >= 0 for text in self._texts
        )

    def _piece(self, token: int) -> bytes:
        if token not in self._pieces:
            self._pieces |= token_pieces(self._tokenizer, [token])
        return self._pieces[token]
