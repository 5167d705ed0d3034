"""What the model got, as a person reads it: who said what, and every token with its role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analysis.results.tokens import printable

if TYPE_CHECKING:
    from analysis.writing.results import Prompt, Writing

MOST_TURNS = 4
"""Turns that are named; of a longer chat the last ones."""


def turns(prompt: Prompt) -> list[tuple[str, str]]:
    """Roles and texts of a prompt, "you" for the person; a plain prompt is one "text"."""
    if not prompt.messages:
        return [("text", printable(prompt.text))]
    said = [({"user": "you"}.get(m.role, m.role), printable(m.content)) for m in prompt.messages]
    left_out = len(said) - MOST_TURNS
    return said if left_out <= 0 else [("…", f"{left_out} earlier turns"), *said[left_out:]]


def kinds(prompt: Prompt) -> list[str]:
    """Kind of every token of a prompt: a role, "template", "thinking", or "text"."""
    found = ["text"] * len(prompt.ids)
    for span in prompt.spans:
        found[span.start : span.end] = [span.kind] * (span.end - span.start)
    return found


def prompt_frame(writing: Writing) -> pd.DataFrame:
    """Table with one row per token of the prompt: position, text, id, and whose it is."""
    tokens = writing.prompt_tokens
    return pd.DataFrame(
        {
            "position": range(len(tokens)),
            "token": [printable(text) for text in tokens.text],
            "token_id": tokens.token_id,
            "kind": kinds(writing.prompt),
        }
    )
