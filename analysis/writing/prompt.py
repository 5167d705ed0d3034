"""What a model goes on from: a plain text, or messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from analysis.models.stops import stop_ids
from analysis.models.tokenization import Bos, encode
from analysis.writing.chat import chat_prompt
from analysis.writing.results import Message, Prompt

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel


def plain_prompt(model: LanguageModel, text: str, *, bos: Bos = "auto", parse_special: bool = True) -> Prompt:
    """A text that the model goes on from as it stands.

    Parameters
    ----------
    model : LanguageModel
        Reads it.
    text : str
        Any valid Unicode that is not blank.
    bos, parse_special
        As for :func:`analysis.models.tokenization.encode`.

    Raises
    ------
    InvalidTextError
        If the text is empty or not valid Unicode.
    """
    with model.lock:
        encoded = encode(model.tokenizer, text, bos=bos, parse_special=parse_special)
    return Prompt(
        text,
        tuple(encoded.token_id.tolist()),
        stop_ids=stop_ids(model),
        notes=(encoded.note,) if encoded.note else (),
    )


def prompt_of(
    model: LanguageModel,
    prompt: str | Sequence[Message | Mapping[str, str]] | Prompt,
    *,
    thinking: bool | None = None,
) -> Prompt:
    """A prompt from whatever a person gives: text, messages, or one that is made.

    Parameters
    ----------
    model, thinking
        As for :func:`analysis.writing.chat.chat_prompt`.
    prompt : str, sequence of messages, or Prompt
        A prompt is taken as it is.
    """
    if isinstance(prompt, Prompt):
        return prompt
    return (
        plain_prompt(model, prompt)
        if isinstance(prompt, str)
        else chat_prompt(model, prompt, thinking=thinking)
    )
