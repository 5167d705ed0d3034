"""The texts of a sweep as the model reads them: a context, and what follows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.errors import InvalidTextError
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import Bos, TokenizedText, encode


@dataclass(frozen=True, eq=False)
class EncodedText:
    """A text and its tokens."""

    text: str
    tokens: TokenizedText

    @property
    def ids(self) -> Tensor:
        """Token ids, int64, (T,)."""
        return torch.from_numpy(self.tokens.token_id)

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class SweepTexts:
    """A context and what is read with what is left of its cache."""

    context: EncodedText
    continuation: EncodedText
    """The answer, if there is one, at its end."""
    n_answer: int
    """Tokens of the answer; 0 without one."""


def encode_context(
    model: LanguageModel, context: str, *, bos: Bos = "auto", parse_special: bool = True
) -> EncodedText:
    """Tokens of a context.

    Raises
    ------
    InvalidTextError
        If it is empty, a single token or not valid Unicode.
    """
    if not context.strip():
        raise InvalidTextError("The context is empty.", "Type or paste the text whose cache is to be pruned.")
    encoded = EncodedText(context, encode(model.tokenizer, context, bos=bos, parse_special=parse_special))
    _require_two(encoded)
    return encoded


def encode_texts(
    model: LanguageModel,
    context: str,
    continuation: str,
    answer: str = "",
    *,
    bos: Bos = "auto",
    parse_special: bool = True,
) -> SweepTexts:
    """Tokens of a context, a continuation and an answer; continuation and answer are cut into tokens one by one.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller.
    context, continuation, answer : str
        In reading order; of the last two one may be empty.
    bos, parse_special
        As for :func:`analysis.models.tokenization.encode`; a beginning-of-text token goes before the context alone.

    Raises
    ------
    InvalidTextError
        If a text is empty, too short or not valid Unicode.
    TooLongError
        If the model reads fewer tokens than there are.
    """
    if context.strip() and not (continuation + answer).strip():
        raise InvalidTextError(
            "There is nothing after the context.", "Add a continuation, or a question with its answer."
        )
    before = encode_context(model, context, bos=bos, parse_special=parse_special)
    parts = [
        encode(model.tokenizer, text, bos="never", parse_special=parse_special)
        for text in (continuation, answer)
        if text
    ]
    whole = parts[0] if len(parts) == 1 else joined(parts[0], parts[1], len(continuation))
    after = EncodedText(continuation + answer, whole)
    _require_two(after)
    model.require_room("Context and continuation", len(before) + len(after))
    return SweepTexts(before, after, len(parts[-1]) if answer else 0)


def _require_two(text: EncodedText) -> None:
    if len(text) < 2:
        raise InvalidTextError(
            "Context and continuation need two tokens each: the first one is predicted before anything is evicted.",
            "Type a few more words.",
        )


def joined(first: TokenizedText, second: TokenizedText, n_characters: int) -> TokenizedText:
    """Tokens of two texts that were cut one by one, as of one text; the first has ``n_characters``."""

    def moved(places: np.ndarray) -> np.ndarray:
        return np.where(places < 0, places, places + np.int32(n_characters))

    return TokenizedText(
        token_id=np.concatenate([first.token_id, second.token_id]),
        start=np.concatenate([first.start, moved(second.start)]),
        end=np.concatenate([first.end, moved(second.end)]),
        n_bytes=np.concatenate([first.n_bytes, second.n_bytes]),
        is_special=np.concatenate([first.is_special, second.is_special]),
        cell=np.concatenate([first.cell, second.cell + np.int32(len(first.cell_text))]),
        cell_text=first.cell_text + second.cell_text,
        note=first.note or second.note,
    )


def first_tokens(tokens: TokenizedText, n: int) -> TokenizedText:
    """The first n tokens of a text; a character that n cuts through is still shown whole."""
    arrays = {
        name: getattr(tokens, name)[:n]
        for name in ("token_id", "start", "end", "n_bytes", "is_special", "cell")
    }
    return TokenizedText(
        **arrays, cell_text=tokens.cell_text[: int(arrays["cell"][-1]) + 1], note=tokens.note
    )


def find_phrase(text: str, tokens: TokenizedText, phrase: str) -> np.ndarray:
    """Tokens that a phrase touches, wherever it occurs, upper and lower case told apart.

    Parameters
    ----------
    text : str
        Such as ``sweep.context``.
    tokens : TokenizedText
        Of that text, such as ``sweep.context_encoding``.
    phrase : str
        Text to find; white space around it is left out.

    Returns
    -------
    ndarray, int64
        Sorted positions of tokens; empty if the phrase does not occur.
    """
    wanted = phrase.strip()
    touched = np.zeros(len(tokens), bool)
    at = text.find(wanted) if wanted else -1
    while at >= 0:
        touched |= (tokens.start < at + len(wanted)) & (tokens.end > at)
        at = text.find(wanted, at + 1)
    return np.flatnonzero(touched)
