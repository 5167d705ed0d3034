"""What the model got, as a person reads it: who said what, and every token with its role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analysis.results.tokens import printable
from analysis.units import Unit, from_nats
from analysis.writing.spans import THINKING, path_spans, restricted

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


def kinds_frame(writing: Writing, branch: int, unit: Unit = "nats") -> pd.DataFrame:
    """Summary of a branch's path, restricted to each kind of token in turn.

    Parameters
    ----------
    writing, branch
        Which path.
    unit : {"nats", "bits"}
        Unit of information.

    Returns
    -------
    pandas.DataFrame
        One row per kind that there is: roles, "template", "written", and of that "thinking" and "answer"; how many tokens,
        and the means over those that had something before them.
    """
    tokens = writing.tokens(branch)
    spans = path_spans(writing.prompt, tokens, writing.text(branch))
    rows = []
    for kind in dict.fromkeys(span.kind for span in spans):
        chosen = restricted(tokens, spans, kind)
        known = chosen & tokens.has_context
        entropy, surprisal = (
            from_nats(float(x[known].mean(dtype=float)) if known.any() else float("nan"), unit)
            for x in (tokens.entropy, tokens.surprisal)
        )
        rows.append((kind, int(chosen.sum()), entropy, surprisal))
    return pd.DataFrame(rows, columns=["kind", "tokens", f"mean_entropy_{unit}", f"mean_surprisal_{unit}"])


def thinking_end(writing: Writing, branch: int) -> int | None:
    """Position of the first token after the thinking of a branch; None where it does not think."""
    spans = path_spans(writing.prompt, writing.tokens(branch), writing.text(branch))
    ends = [span.end for span in spans if span.kind == THINKING]
    return max(ends) if ends else None


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
