"""Honest names of tokens: the bytes that one stands for, and what a screen writes for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@lru_cache(maxsize=1)
def _byte_alphabet() -> dict[str, int]:
    """Byte of each letter in a byte-level vocabulary (GPT-2's printable stand-ins)."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    own = {letter: ord(letter) for letter in letters if ord(letter) < 256}  # printable: stand for themselves
    return own | dict(zip(letters[len(own) :], sorted({*range(256)} - {*own.values()}), strict=True))


def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and "ByteLevel" in repr(backend.decoder)


def token_bytes(tokenizer: Any, token_id: int) -> bytes:
    """Bytes a token stands for, exact for byte-level and byte-fallback vocabularies."""
    return _bytes_of(tokenizer.convert_ids_to_tokens(int(token_id)) or "", _is_byte_level(tokenizer))


def _bytes_of(raw: str, byte_level: bool) -> bytes:
    if match := _BYTE_TOKEN.fullmatch(raw):
        return bytes([int(match[1], 16)])
    if byte_level:
        table = _byte_alphabet()
        if all(letter in table for letter in raw):
            return bytes(table[letter] for letter in raw)
    return raw.replace("▁", " ").encode("utf-8", "replace")


def token_text(tokenizer: Any, token_id: int) -> str:
    """Readable name of one token of the vocabulary; of many, :func:`token_texts` is faster."""
    return token_texts(tokenizer, [token_id])[int(token_id)]


def token_texts(tokenizer: Any, token_ids: Iterable[int]) -> dict[int, str]:
    """Readable names of tokens of the vocabulary, by id.

    A piece of a character is shown by its bytes, as in ``‹E6›``; an id beyond the
    tokenizer's vocabulary (padding of the head) as ``‹unused 49154›``.
    """
    size, fast = len(tokenizer), getattr(tokenizer, "is_fast", False)
    verbatim = {*tokenizer.all_special_ids, *getattr(tokenizer, "added_tokens_decoder", {})}
    byte_level = _is_byte_level(tokenizer)
    names: dict[int, str] = {}
    for token_id in map(int, token_ids):
        known = token_id < size or fast  # ids may have holes
        raw = tokenizer.convert_ids_to_tokens(token_id) if known else None
        if raw is None:
            names[token_id] = f"‹unused {token_id}›"
        elif token_id in verbatim:
            names[token_id] = str(raw)
        else:
            names[token_id] = _shown(_bytes_of(raw, byte_level))
    return names


def token_pieces(tokenizer: Any, token_ids: Iterable[int]) -> dict[int, bytes]:
    """Bytes of tokens of the vocabulary, by id: what decoding joins. Special tokens stand for their names.

    An id beyond the tokenizer's vocabulary stands for nothing.
    """
    verbatim = {*tokenizer.all_special_ids, *getattr(tokenizer, "added_tokens_decoder", {})}
    byte_level = _is_byte_level(tokenizer)
    pieces: dict[int, bytes] = {}
    for token_id in map(int, token_ids):
        raw = str(tokenizer.convert_ids_to_tokens(token_id) or "")
        pieces[token_id] = (
            raw.encode("utf-8", "replace") if token_id in verbatim else _bytes_of(raw, byte_level)
        )
    return pieces


def special_ids(tokenizer: Any) -> set[int]:
    """Ids that stand for no text of a person: beginning-of-text, end-of-turn and the like."""
    decoder = getattr(tokenizer, "added_tokens_decoder", {})
    added = {int(i) for i, token in decoder.items() if getattr(token, "special", False)}
    return {*tokenizer.all_special_ids, *added}


def _shown(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return re.sub(
            r"\\x([0-9a-f]{2})", lambda m: f"‹{m[1].upper()}›", data.decode("utf-8", "backslashreplace")
        )
