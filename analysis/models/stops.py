"""Which ids end what a model writes, and which it can write at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from analysis.models.token_names import special_ids

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel, ModelInfo

ENDS_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")
"""Names of special tokens after which training texts end, whatever the configuration says."""


class Writes(Protocol):
    """What can write: a language model, with eyes or without."""

    model: Any
    tokenizer: Any
    info: ModelInfo


def stop_ids(model: Writes, template_end: Iterable[int] = ()) -> tuple[int, ...]:
    """Ids after which nothing more is written.

    Parameters
    ----------
    model : LanguageModel or VisionModel
        Its generation settings and its tokenizer each name some, and not always the same.
    template_end : iterable of int
        What the chat template prints after an assistant message.

    Returns
    -------
    tuple of int
        Rising. They are those of both, of the template, and special tokens that are called as in ``ENDS_OF_TEXT``.
    """
    tokenizer = model.tokenizer
    named = special_ids_by_name(tokenizer)
    found = {
        *_ids(getattr(getattr(model.model, "generation_config", None), "eos_token_id", None)),
        *_ids(getattr(tokenizer, "eos_token_id", None)),
        *template_end,
        *(named[name] for name in ENDS_OF_TEXT if name in named),
    }
    return tuple(sorted(i for i in found if 0 <= i < model.info.vocab_size))


def _ids(setting: Any) -> list[int]:
    """An end-of-sequence setting as a list: it may be nothing, a number or several."""
    if setting is None:
        return []
    return [int(i) for i in (setting if isinstance(setting, (list, tuple)) else [setting])]


def special_ids_by_name(tokenizer: Any) -> dict[str, int]:
    """Ids of a tokenizer's special tokens, by what each is called."""
    return {str(tokenizer.convert_ids_to_tokens(i)): i for i in sorted(special_ids(tokenizer))}


@dataclass(frozen=True)
class _Drawable:
    n: int


def drawable_ids(model: LanguageModel) -> int:
    """How many ids may be drawn: rows of the head from here on are padding that no token uses."""
    if _Drawable not in model.found:
        last = max(model.tokenizer.get_vocab().values(), default=-1)
        model.found[_Drawable] = _Drawable(min(model.info.vocab_size, last + 1))
    return int(model.found[_Drawable].n)
