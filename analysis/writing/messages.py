"""A branch as messages, for other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from analysis.results.tokens import printable

if TYPE_CHECKING:
    from analysis.writing.results import Writing


def messages_of(writing: Writing, branch: int) -> list[dict[str, str]]:
    """The prompt's messages with the written text as the last one, by "assistant"; a plain prompt is the "user"'s."""
    prompt = writing.prompt
    said = [{"role": m.role, "content": m.content} for m in prompt.messages]
    said = said or [{"role": "user", "content": prompt.text}]
    return [*said, {"role": "assistant", "content": printable(writing.written(branch))}]


def messages_json(writing: Writing, branch: int) -> str:
    """:func:`messages_of` as JSON."""
    return json.dumps(messages_of(writing, branch), ensure_ascii=False, indent=2)
