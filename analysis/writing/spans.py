"""Roles, thinking and what the model wrote, as stretches of tokens; and a summary restricted to some of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError
from analysis.writing.results import Prompt, Span
from analysis.writing.thinking import thinking_written

if TYPE_CHECKING:
    from analysis.results.tokens import TokenTrace

WRITTEN, THINKING, ANSWER, TEMPLATE = "written", "thinking", "answer", "template"
"""Kinds beside the roles: all that the model wrote, thinking, what it wrote outside of it, and the template's own."""


def tokens_in(
    parts: Iterable[tuple[str, int, int]], starts: Sequence[int] | np.ndarray, at: int = 0
) -> tuple[Span, ...]:
    """Tokens of stretches of characters.

    Parameters
    ----------
    parts : iterable of (str, int, int)
        Kind, first character, one past the last; in order, none over another.
    starts : sequence of int
        First character of every token, never falling: a token belongs to the part that its first character is in.
    at : int
        Position of the first of these tokens.

    Returns
    -------
    tuple of Span
        Those with tokens; neighbours of one kind are one.
    """
    spans: list[Span] = []
    for kind, begin, end in parts:
        first, last = (int(np.searchsorted(starts, edge)) + at for edge in (begin, end))
        if last <= first:
            continue
        if spans and (spans[-1].kind, spans[-1].end) == (kind, first):
            first = spans.pop().start
        spans.append(Span(kind, first, last))
    return tuple(spans)


def path_spans(prompt: Prompt, tokens: TokenTrace, text: str) -> tuple[Span, ...]:
    """Spans of a prompt and of what was written after it.

    Parameters
    ----------
    prompt : Prompt
        What the path begins with.
    tokens : TokenTrace
        Of the whole path.
    text : str
        Of the whole path; ``tokens.start`` counts its characters.

    Returns
    -------
    tuple of Span
        The prompt's; then "written" for everything after it, and over that "thinking" and "answer".
    """
    n = len(prompt.ids)
    starts = np.maximum.accumulate(np.maximum(tokens.start, 0))[n:]
    if not len(starts):
        return prompt.spans
    begin = int(starts[0])
    thinks = thinking_written(prompt.text, text[begin:], is_chat=bool(prompt.messages)).spans
    parts, at = [], begin
    for first, last in thinks:
        parts += [(ANSWER, at, begin + first), (THINKING, begin + first, begin + last)]
        at = begin + last
    parts.append((ANSWER, at, len(text) + 1))
    return (*prompt.spans, Span(WRITTEN, n, len(tokens)), *tokens_in(parts, starts, n))


def restricted(tokens: Sized, spans: Iterable[Span], kinds: str | Iterable[str]) -> np.ndarray:
    """Which tokens a summary is restricted to.

    Parameters
    ----------
    tokens : TokenTrace, or anything as long
        T tokens.
    spans : iterable of Span
        From :func:`path_spans` or a prompt.
    kinds : str or iterable of str
        Any of them.

    Returns
    -------
    numpy.ndarray of bool, shape (T,)

    Raises
    ------
    AnalysisError
        If no token is of these kinds.
    """
    wanted = {kinds} if isinstance(kinds, str) else set(kinds)
    mask = np.zeros(len(tokens), dtype=bool)
    there = set()
    for span in spans:
        there.add(span.kind)
        if span.kind in wanted:
            mask[span.start : span.end] = True
    if not mask.any():
        raise AnalysisError(
            f"No token of this text is {' or '.join(sorted(wanted)) or 'asked for'}.",
            f"There are: {', '.join(sorted(there))}." if there else "Roles are known of chats only.",
        )
    return mask
