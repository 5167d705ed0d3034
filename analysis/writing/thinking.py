"""Where a text thinks: the markers that models put around it, found in the text and not in its tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

MARKERS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
)
"""What opens thinking and what closes it. A marker may be one token, several, or part of one."""

ThinkingState = Literal[
    "none", "opened in the prompt", "opened in the text", "closed at once", "never closed"
]
"""How written text thinks. "closed at once" is how a template or a model says that it does not."""


@dataclass(frozen=True)
class Thinking:
    """Thinking in a text that a model wrote."""

    state: ThinkingState
    spans: tuple[tuple[int, int], ...]
    """First character and one past the last of each, markers included; a text that opens in the prompt begins in one."""


def thinking_in(text: str, closing: str = "") -> list[tuple[int, int]]:
    """Parts of a text that think, markers included.

    Parameters
    ----------
    text : str
        Of an assistant.
    closing : str
        Marker that closes what was open before the text began.

    Returns
    -------
    list of (int, int)
        First character and one past the last. What is never closed runs to the end.
    """
    found: list[tuple[int, int]] = []
    closes, begin = dict(MARKERS), 0
    opening = re.compile("|".join(map(re.escape, closes)))
    while True:
        if not closing:
            match = opening.search(text, begin)
            if match is None:
                return found
            begin, closing = match.start(), closes[match[0]]
        end = text.find(closing, begin)
        end = len(text) if end < 0 else end + len(closing)
        found.append((begin, end))
        begin, closing = end, ""


def open_at_end(prompt: str, is_chat: bool) -> str:
    """Marker that would close the thinking that a prompt leaves open; empty if none is.

    Parameters
    ----------
    prompt : str
        All that the model gets.
    is_chat : bool
        A template opens it at the very end; in a chat, what stands before may be what a person typed.
    """
    for opening, closing in MARKERS:
        if prompt.rstrip().endswith(opening) or (
            not is_chat and opening in prompt and prompt.rfind(opening) > prompt.rfind(closing)
        ):
            return closing
    return ""


def thinking_written(prompt: str, written: str, *, is_chat: bool = True) -> Thinking:
    """How the text that follows a prompt thinks, and where.

    Parameters
    ----------
    prompt : str
        All that the model gets.
    written : str
        All that it wrote.
    is_chat : bool
        Whether a chat template made the prompt.
    """
    closing = open_at_end(prompt, is_chat)
    spans = tuple(thinking_in(written, closing))
    state: ThinkingState
    if spans and not any(written[: spans[-1][1]].endswith(close) for _, close in MARKERS):
        state = "never closed"
    elif closing:
        state = "opened in the prompt"
    elif any(_has_words(written[first:last]) for first, last in spans):
        state = "opened in the text"
    elif spans or any(_empty(*pair).search(prompt.rstrip()) for pair in MARKERS):
        state = "closed at once"
    else:
        state = "none"
    return Thinking(state, spans)


def _has_words(thinking: str) -> bool:
    return not any(_empty(*pair).fullmatch(thinking) for pair in MARKERS)


def _empty(opening: str, closing: str) -> re.Pattern[str]:
    """Nothing between two markers, at the end of a text."""
    return re.compile(re.escape(opening) + r"\s*" + re.escape(closing) + r"\Z")
