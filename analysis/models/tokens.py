"""Text to tokens: ids, the characters each one covers, and an honest name for each.

Byte-level tokenizers cut characters into pieces. Pieces of one character share a
*cell*, which is what a screen draws; every character of the text belongs to one cell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np

from analysis.errors import InvalidTextError

Bos = Literal["auto", "always", "never"]
"""Whether a beginning-of-text token goes first: as the tokenizer does, always, never."""
BOS_CHOICES: tuple[Bos, ...] = get_args(Bos)

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class TokenizedText:
    """A text as the model reads it. Every array has one entry per token."""

    token_id: np.ndarray
    """int64, shape (T,)."""
    start: np.ndarray
    """int32, shape (T,): first character covered, -1 for a token outside the text."""
    end: np.ndarray
    """int32, shape (T,): one past the last character covered."""
    n_bytes: np.ndarray
    """int32, shape (T,): UTF-8 bytes of the text this token stands for."""
    is_special: np.ndarray
    """bool, shape (T,): beginning-of-text, end-of-turn and the like."""
    cell: np.ndarray
    """int32, shape (T,), never falling: tokens that share a character share a cell."""
    cell_text: tuple[str, ...]
    """Text of each cell, as in the source."""

    def __len__(self) -> int:
        return len(self.token_id)


def check_text(text: str) -> None:
    """Refuse text that no tokenizer can read.

    Raises
    ------
    InvalidTextError
        If it is empty or holds half of a surrogate pair.
    """
    if not text.strip():
        raise InvalidTextError("There is no text to read.", "Type or paste some text, or pick an example.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidTextError(
            f"Character {error.start + 1} is half of a surrogate pair (U+{ord(text[error.start]):04X}), "
            "which is not valid Unicode.",
            "Delete that character; it usually comes from text cut in the middle of an emoji.",
        ) from None


def encode(tokenizer: Any, text: str, *, bos: Bos = "auto", parse_special: bool = True) -> TokenizedText:
    """Tokenize a text and say which characters each token covers.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        Of the model that will read the ids.
    text : str
        Any valid Unicode.
    bos : {"auto", "always", "never"}
        "auto" adds what the tokenizer itself adds.
    parse_special : bool, default True
        Read ``<|im_end|>`` in the text as that token; False reads it as plain letters.

    Raises
    ------
    InvalidTextError
        If the text is empty or not valid Unicode, or "always" is asked of a tokenizer
        that has no beginning-of-text token.
    """
    check_text(text)
    options = {"add_special_tokens": bos == "auto", "split_special_tokens": not parse_special}
    fast = getattr(tokenizer, "is_fast", False)
    encoded = tokenizer(text, return_offsets_mapping=fast, verbose=False, **options)
    ids = [int(i) for i in encoded["input_ids"]]
    if not ids:
        raise InvalidTextError("The tokenizer leaves nothing of this text.", "Type some other text.")
    spans = (
        [tuple(s) for s in encoded["offset_mapping"]] if fast else _spans_by_decoding(tokenizer, ids, text)
    )
    special_ids = set(tokenizer.all_special_ids) | _added_special_ids(tokenizer)
    if bos == "always" and (not ids or ids[0] != tokenizer.bos_token_id):
        if tokenizer.bos_token_id is None:
            raise InvalidTextError(
                "This tokenizer has no beginning-of-text token.",
                "Choose another setting for it: auto or never.",
            )
        ids, spans = [tokenizer.bos_token_id, *ids], [(0, 0), *spans]
    is_special = np.array([i in special_ids for i in ids], dtype=bool)
    return _with_cells(tokenizer, text, ids, spans, is_special)


def _added_special_ids(tokenizer: Any) -> set[int]:
    decoder = getattr(tokenizer, "added_tokens_decoder", {})
    return {int(i) for i, token in decoder.items() if getattr(token, "special", False)}


def _spans_by_decoding(tokenizer: Any, ids: list[int], text: str) -> list[tuple[int, int]]:
    """Spans for a tokenizer without offsets: follow the bytes of the tokens through the text.

    Tokens that are not found in it (unknown ones) share what lies before the next that is.
    """
    data = text.encode()
    char_at = [i for i, letter in enumerate(text) for _ in letter.encode()] + [len(text)]
    spans: list[tuple[int, int]] = []
    unknown: list[int] = []
    at = covered = 0
    for t, token_id in enumerate(ids):
        special = token_id in tokenizer.all_special_ids
        raw = token_text(tokenizer, token_id).encode() if special else token_bytes(tokenizer, token_id)
        begin = at if data.startswith(raw, at) else -1
        if begin < 0 and not special:
            raw = raw.strip(b" ")
            begin = data.find(raw, at) if raw else -1
        spans.append((covered, covered))
        if begin >= 0 and raw:
            at = begin + len(raw)
            for u in unknown:
                spans[u] = (covered, max(covered, char_at[begin]))
            unknown, covered = [], char_at[at - 1] + 1
            spans[t] = (char_at[begin], covered)
        elif not special:
            unknown.append(t)
    for u in unknown:
        spans[u] = (covered, len(text))
    return spans


def _with_cells(
    tokenizer: Any, text: str, ids: list[int], spans: list[tuple[int, int]], is_special: np.ndarray
) -> TokenizedText:
    """Close gaps between spans, then group tokens whose spans overlap."""
    n = len(ids)
    start, end = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    cell = np.zeros(n, np.int32)
    cell_spans: list[list[int]] = []
    covered, last_text = 0, -1
    for t, (a, b) in enumerate(spans):
        shares = bool(cell_spans) and a < covered and cell_spans[-1][1] > cell_spans[-1][0]
        if b <= a or (b <= covered and not shares):  # nothing of the text: an added token
            cell_spans.append([covered, covered, t])
        elif shares:
            start[t], end[t] = max(a, cell_spans[-1][0]), b
            cell_spans[-1][1] = max(cell_spans[-1][1], b)
        else:  # characters a normalizer skipped go to the next token
            start[t], end[t] = covered, b
            cell_spans.append([covered, b, t])
        cell[t] = len(cell_spans) - 1
        if start[t] >= 0:
            covered, last_text = max(covered, b), t
    if covered < len(text):  # and those at the end to the last token that has any
        if last_text < 0:
            last_text = int(np.flatnonzero(~is_special)[-1]) if not is_special.all() else n - 1
            start[last_text] = 0
            cell_spans[cell[last_text]][0] = 0
            cell_spans[cell[last_text]][1] = 0
        end[last_text] = len(text)
        cell_spans[cell[last_text]][1] = len(text)
    names = tuple(text[a:b] if b > a else token_text(tokenizer, ids[t]) for a, b, t in cell_spans)
    n_bytes = _bytes_per_token(tokenizer, text, ids, cell, cell_spans)
    return TokenizedText(np.array(ids, np.int64), start, end, n_bytes, is_special, cell, names)


def _bytes_per_token(
    tokenizer: Any, text: str, ids: list[int], cell: np.ndarray, cell_spans: list[list[int]]
) -> np.ndarray:
    """UTF-8 bytes per token; the bytes of a shared cell are split as the tokenizer splits them."""
    cell_bytes = np.array([len(text[a:b].encode()) for a, b, _ in cell_spans])
    n_bytes = np.zeros(len(ids), np.int32)
    sizes = np.bincount(cell, minlength=len(cell_spans))
    single = sizes[cell] == 1
    n_bytes[single] = cell_bytes[cell[single]]
    shared = np.flatnonzero(~single).tolist()
    width = {i: len(token_bytes(tokenizer, i)) for i in {ids[t] for t in shared}}
    left, of_cell = cell_bytes.tolist(), cell.tolist()
    for t in shared:
        here = of_cell[t]
        last = t + 1 == len(ids) or of_cell[t + 1] != here
        taken = left[here] if last else min(width[ids[t]], left[here])
        n_bytes[t] = taken
        left[here] -= taken
    return n_bytes


@lru_cache(maxsize=1)
def _byte_alphabet() -> dict[str, int]:
    """Byte of each letter in a byte-level vocabulary (GPT-2's printable stand-ins)."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {chr(b): b for b in kept}
    others = (b for b in range(256) if b not in set(kept))
    table.update({chr(256 + i): b for i, b in enumerate(others)})
    return table


def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and "ByteLevel" in repr(backend.decoder)


def token_bytes(tokenizer: Any, token_id: int) -> bytes:
    """Bytes a token stands for, exact for byte-level and byte-fallback vocabularies."""
    raw = tokenizer.convert_ids_to_tokens(int(token_id)) or ""
    if match := _BYTE_TOKEN.fullmatch(raw):
        return bytes([int(match[1], 16)])
    if _is_byte_level(tokenizer):
        table = _byte_alphabet()
        if all(letter in table for letter in raw):
            return bytes(table[letter] for letter in raw)
    return raw.replace("▁", " ").encode("utf-8", "replace")


def token_text(tokenizer: Any, token_id: int) -> str:
    """Readable name of one token of the vocabulary.

    A piece of a character is shown by its bytes, as in ``‹E6›``; an id beyond the
    tokenizer's vocabulary (padding of the head) as ``‹unused 49154›``.
    """
    token_id = int(token_id)
    known = token_id < len(tokenizer) or getattr(tokenizer, "is_fast", False)  # ids may have holes
    raw = tokenizer.convert_ids_to_tokens(token_id) if known else None
    if raw is None:
        return f"‹unused {token_id}›"
    if token_id in tokenizer.all_special_ids or token_id in getattr(tokenizer, "added_tokens_decoder", {}):
        return str(raw)
    data = token_bytes(tokenizer, token_id)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return re.sub(
            r"\\x([0-9a-f]{2})", lambda m: f"‹{m[1].upper()}›", data.decode("utf-8", "backslashreplace")
        )
