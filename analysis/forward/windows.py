"""Windows over a text that is longer than the model's context."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import TooLongError
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import TokenizedText


@dataclass(frozen=True)
class Window:
    """One pass over part of a text, and which of its rows are new.

    Row i predicts token i + 1, so a window that scores tokens a..b-1 reads rows a-1..b-2.
    """

    positions: np.ndarray
    """int64: tokens of the text the model sees, in order."""
    rows: slice
    """Rows of the text whose predictions this window gives."""
    local_rows: slice
    """The same rows, counted within the window."""
    seen: slice
    """Tokens of the text whose states this window gives."""
    local_seen: slice
    """The same tokens, counted within the window."""


def plan_windows(
    model: LanguageModel, tokens: TokenizedText, window: int | None, stride: int | None
) -> list[Window]:
    """One window for a text that fits, overlapping ones when a stride is given.

    Every window after the first starts ``stride`` tokens later and scores only tokens
    that no earlier window scored, so each has at least ``window - stride`` tokens before
    it. A beginning-of-text token is put in front of every window, in the place of its
    first token.

    Raises
    ------
    TooLongError
        If the text is longer than the model's context and no stride is given, the
        stride does not fit the window, or the window is too small to predict in.
    """
    n, context = len(tokens), model.info.context_length
    size = window if window is not None else context or n
    if context is not None and size > context:
        raise TooLongError(
            f"A window of {size:,} tokens is longer than the model's context of {context:,}.",
            f"Choose a window of at most {context:,}.",
        )
    if n <= size:
        everything = slice(0, n)
        return [Window(np.arange(n), everything, everything, everything, everything)]
    lead = bool(tokens.is_special[0] and tokens.start[0] < 0)
    longest = size - 2 if lead else size - 1
    if longest < 1:
        raise TooLongError(
            f"Windows of {size:,} tokens leave nothing to predict from.",
            f"Choose windows of at least {3 if lead else 2} tokens; some hundreds are a good start.",
        )
    if stride is None:
        raise TooLongError(
            f"The text has {n:,} tokens and {model.info.name} reads at most {size:,}.",
            "Shorten it, or read it in windows: each token then sees only the part of the text before it "
            "that fits.",
        )
    if not 1 <= stride <= longest:
        raise TooLongError(
            f"A stride of {stride:,} does not fit windows of {size:,} tokens.",
            f"Choose a stride from 1 to {longest:,}; half the window is a good start.",
        )
    windows: list[Window] = []
    begin, scored = 0, 0
    while scored < n:
        end = min(begin + size, n)
        positions = np.arange(begin, end)
        if lead and begin > 0:
            positions[0] = 0
        last = end == n
        first_row = max(scored - 1, 0)
        rows = slice(first_row, end if last else end - 1)
        seen = slice(scored, end)
        windows.append(Window(positions, rows, _shift(rows, begin), seen, _shift(seen, begin)))
        scored, begin = end, begin + stride
    return windows


def _shift(span: slice, by: int) -> slice:
    return slice(span.start - by, span.stop - by)
