"""Messages through the model's own chat template: its text, its ids, and which tokens are whose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError, InvalidTextError
from analysis.models.stops import special_ids_by_name, stop_ids
from analysis.models.tokenization import require_rows, spans_by_decoding
from analysis.writing.bounded import EndlessTemplateError, bounded_lines
from analysis.writing.results import Message, Prompt, Span
from analysis.writing.spans import TEMPLATE, THINKING, tokens_in
from analysis.writing.thinking import thinking_in

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel

ROLES = ("system", "developer", "user", "assistant", "tool")
SWITCHES = ("enable_thinking", "thinking")
"""Names under which templates read whether to think."""
_SENTINEL = 0xFF000
"""First of the private-use characters that stand for the contents of messages, one each."""


def has_chat(model: LanguageModel) -> bool:
    """Whether the model has a chat template."""
    return bool(_template(model))


def knows_thinking(model: LanguageModel) -> bool:
    """Whether the template has a switch for thinking: whether it prints another text with it."""
    return bool(_switch(model))


def chat_prompt(
    model: LanguageModel,
    messages: Sequence[Message | Mapping[str, str]],
    *,
    thinking: bool | None = None,
) -> Prompt:
    """What the model gets for a chat: its template's text, up to where the assistant begins.

    Parameters
    ----------
    model : LanguageModel
        One with a chat template.
    messages : sequence of Message, or of mappings with "role" and "content"
        Turns of a chat, in order.
    thinking : bool, optional
        Switches thinking on or off where the template knows it; None leaves it as the template does.

    Returns
    -------
    Prompt
        Text and ids are those of the library. A control token typed in a message is read as letters. Every token has
        a span: the role of its message, "thinking" within an assistant's, or "template"; none, and a note, where the
        template alters what the messages say.

    Raises
    ------
    AnalysisError
        If the model has no template, it refuses the messages, or there are none, an empty one, or an unknown role.
    """
    if not has_chat(model):
        raise AnalysisError(
            f"{model.info.name} has no chat template.",
            "Give it a plain text to go on from instead of messages.",
        )
    turns = [_checked(message, i) for i, message in enumerate(messages, 1)]
    if not turns:
        raise AnalysisError("There are no messages.", "Write at least one.")
    switch = _switch(model)
    switches = {switch: thinking} if switch and thinking is not None else {}
    text = _render(model, turns, True, switches)
    if not text:
        raise AnalysisError(
            "The chat template prints nothing for these messages.", "Give a plain text instead."
        )
    with model.lock:  # the template, which may be slow, has printed its text outside
        ids = _ids(model, turns, switches)
        starts = _starts(model.tokenizer, text, ids)
    spans, notes = _spans(model, turns, text, starts, switches)
    if thinking is not None and not switch:
        notes.append("The template has no switch for thinking.")
    if turns[-1].role == "assistant":
        notes.append("The last message is the assistant's; the template opens another one after it.")
    return Prompt(text, tuple(ids), tuple(turns), spans, stop_ids(model, turn_end(model)), tuple(notes))


def turn_end(model: LanguageModel) -> tuple[int, ...]:
    """Special token that the template prints after an assistant message; empty if it prints none."""
    mark = chr(_SENTINEL)
    try:
        text = _render(model, [Message("user", "a"), Message("assistant", mark)], False, {})
    except AnalysisError:
        return ()
    _, there, after = text.rpartition(mark)
    named = special_ids_by_name(model.tokenizer)
    names = [name for name in named if there and after.lstrip().startswith(name)]
    return (named[max(names, key=len)],) if names else ()


def _template(model: LanguageModel) -> str | None:
    get = getattr(model.tokenizer, "get_chat_template", None)
    try:
        return get() if get else None
    except ValueError:  # none, or several without a default
        return None


def _switch(model: LanguageModel) -> str:
    """The name that the template reads thinking from; empty if none."""
    template = _template(model) or ""
    for name in SWITCHES:
        if name in template:
            try:
                on, off = (_render(model, [Message("user", "a")], True, {name: v}) for v in (True, False))
            except AnalysisError:
                continue
            if on != off:
                return name
    return ""


def _checked(message: Message | Mapping[str, str], number: int) -> Message:
    if isinstance(message, Mapping):
        role, content = message.get("role"), message.get("content")
    else:
        role, content = getattr(message, "role", None), getattr(message, "content", None)
    if role not in ROLES:
        raise AnalysisError(f"Message {number} has the role {role!r}.", f"Choose from {', '.join(ROLES)}.")
    if not isinstance(content, str) or not content.strip():
        raise AnalysisError(f"Message {number} ({role}) is empty.", "Write something in it, or delete it.")
    try:
        content.encode()
    except UnicodeEncodeError:
        raise InvalidTextError(
            f"Message {number} ({role}) holds half of a surrogate pair, which is not valid Unicode.",
            "Delete that character; it usually comes from text cut in the middle of an emoji.",
        ) from None
    return Message(role, content)


def _dicts(turns: Iterable[Message]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _render(model: LanguageModel, turns: Iterable[Message], opens: bool, switches: dict[str, Any]) -> str:
    """The library's text. The template is the checkpoint's own code and can fail in any of these ways."""
    from jinja2 import TemplateError

    try:
        return str(_applied(model, turns, tokenize=False, add_generation_prompt=opens, **switches))
    except EndlessTemplateError:
        raise AnalysisError(
            f"The chat template of {model.info.name} does not come to an end with these messages.",
            "Give a plain text instead.",
        ) from None
    except (
        TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        said = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise AnalysisError(
            f"The chat template of {model.info.name} refuses these messages: {said}.",
            "Change their roles or their order, or give a plain text instead.",
        ) from None


def _applied(model: LanguageModel, turns: Iterable[Message], **options: Any) -> Any:
    with bounded_lines():
        return model.tokenizer.apply_chat_template(_dicts(turns), **options)


def _ids(model: LanguageModel, turns: Iterable[Message], switches: dict[str, Any]) -> list[int]:
    found = _applied(
        model,
        turns,
        tokenize=True,
        return_dict=False,
        add_generation_prompt=True,
        sanitize_control_tokens=True,
        **switches,
    )
    ids = [int(i) for i in found]
    require_rows(model.tokenizer, ids)
    return ids


def _spans(
    model: LanguageModel, turns: Sequence[Message], text: str, starts: Sequence[int], switches: dict[str, Any]
) -> tuple[tuple[Span, ...], list[str]]:
    """Whose each token is, and what a person should know about it."""
    marked = [Message(turn.role, chr(_SENTINEL + i)) for i, turn in enumerate(turns)]
    try:
        parts = _walk(text, _render(model, marked, True, switches), turns)
    except AnalysisError:
        parts = None
    if parts is None:
        return (), ["The template alters what the messages say; which token is whose is not available."]
    said = {number for number, _, _ in parts}
    notes = [
        f"The template leaves out message {i + 1} ({turn.role})."
        for i, turn in enumerate(turns)
        if i not in said
    ]
    kinds: list[tuple[str, int, int]] = []
    for number, begin, end in parts:
        role = TEMPLATE if number is None else turns[number].role
        at = begin
        for first, last in thinking_in(text[begin:end]) if role == "assistant" else ():
            kinds += [(role, at, begin + first), (THINKING, begin + first, begin + last)]
            at = begin + last
        kinds.append((role, at, end))
    return tokens_in(kinds, starts), notes


def _walk(text: str, drawn: str, turns: Sequence[Message]) -> list[tuple[int | None, int, int]] | None:
    """Parts of a rendered chat: number of the message, None for the template, and its characters.

    ``drawn`` is the same chat with one private-use character in the place of each content. What stands between these
    is the template's; it is followed through the real text, where the contents may have lost blanks at their ends.
    None where the two do not agree.
    """
    last = chr(_SENTINEL + len(turns) - 1)
    first, *rest = re.split(f"([{chr(_SENTINEL)}-{last}])", drawn)
    if not text.startswith(first):
        return None
    at = len(first)
    parts: list[tuple[int | None, int, int]] = [(None, 0, at)]
    for mark, between in zip(rest[::2], rest[1::2], strict=True):
        number = ord(mark) - _SENTINEL
        content = turns[number].content
        ways = (content, content.strip(), content.rstrip(), content.lstrip())
        way = next((way for way in ways if text.startswith(way + between, at)), None)
        if way is None:
            return None
        end = at + len(way)
        parts += [(number, at, end), (None, end, end + len(between))]
        at = end + len(between)
    return parts if at == len(text) else None


def _starts(tokenizer: Any, text: str, ids: list[int]) -> list[int]:
    """First character of every token."""
    if getattr(tokenizer, "is_fast", False):
        plain = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        if plain["input_ids"] == ids:
            return [first for first, _ in plain["offset_mapping"]]
    return [first for first, _ in spans_by_decoding(tokenizer, ids, text)]
