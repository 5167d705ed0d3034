"""Text to tokens: ids, the characters each one covers, and an honest name for each.

Byte-level tokenizers cut characters into pieces. Pieces of one character share a
*cell*, which is what a screen draws; every character of the text belongs to one cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from analysis.errors import InvalidTextError
from analysis.models.token_names import special_ids, token_bytes, token_pieces, token_text, token_texts
from analysis.results.decoded import decode

Bos = Literal["auto", "always", "never"]
"""Whether a beginning-of-text token goes first: as the tokenizer does, always, never."""
BOS_CHOICES: tuple[Bos, ...] = get_args(Bos)

_N_IDS = "logitscope_n_ids"
"""Attribute of a tokenizer: how many ids its model knows."""


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
    note: str = ""
    """What a person should know about how the text was read; mostly empty."""

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
        "auto" adds what the tokenizer itself adds, unless the text already begins with it. "always" adds
        one whatever the text begins with.
    parse_special : bool, default True
        Read ``<|im_end|>`` in the text as that token; False reads it as plain letters.

    Raises
    ------
    InvalidTextError
        If the text is empty or not valid Unicode, holds a token that the model has no row for, or
        "always" is asked of a tokenizer that has no beginning-of-text token.
    """
    check_text(text)
    options = {"add_special_tokens": bos == "auto", "split_special_tokens": not parse_special}
    fast = getattr(tokenizer, "is_fast", False)
    encoded = tokenizer(text, return_offsets_mapping=fast, verbose=False, **options)
    ids = [int(i) for i in encoded["input_ids"]]
    if not ids:
        raise InvalidTextError("The tokenizer leaves nothing of this text.", "Type some other text.")
    require_rows(tokenizer, ids)
    special = special_ids(tokenizer)
    twice, note = 0, ""
    if bos == "auto" and ids[0] in special:
        lead = _added_in_front(tokenizer)
        if lead and ids[:lead] == ids[lead : 2 * lead]:
            twice, name = lead, "".join(token_text(tokenizer, i) for i in ids[:lead])
            note = f"The text begins with {name} itself, so none was put in front of it."
    ids = ids[twice:]
    spans = (
        [tuple(s) for s in encoded["offset_mapping"][twice:]]
        if fast
        else spans_by_decoding(tokenizer, ids, text)
    )
    if bos == "always":
        first = tokenizer.bos_token_id
        if first is None:
            raise InvalidTextError(
                "This tokenizer has no beginning-of-text token.",
                "Choose another setting for it: auto or never.",
            )
        if ids[0] == first:
            note = f"The text begins with {token_text(tokenizer, first)} itself; the model reads it twice."
        ids, spans = [first, *ids], [(0, 0), *spans]
    is_special = np.array([i in special for i in ids], dtype=bool)
    return replace(_with_cells(tokenizer, text, ids, spans, is_special), note=note)


def tokens_of_ids(tokenizer: Any, ids: Sequence[int] | np.ndarray) -> tuple[str, TokenizedText]:
    """Tokens as they are, and the text that they spell.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        Of the model that will read the ids.
    ids : sequence of int
        Any that the model has.

    Raises
    ------
    InvalidTextError
        If there are none, or one of them has no row.
    """
    path = [int(i) for i in ids]
    if not path:
        raise InvalidTextError("There are no tokens to read.", "Give some.")
    if min(path) < 0:
        raise InvalidTextError(f"There is no token {min(path)}.", "Ids begin with 0.")
    require_rows(tokenizer, path)
    names, pieces, special = (
        token_texts(tokenizer, {*path}),
        token_pieces(tokenizer, {*path}),
        special_ids(tokenizer),
    )
    spelt = decode([pieces[i] for i in path], [names[i] for i in path])
    is_special = np.array([i in special for i in path], bool)
    token_id = np.array(path, np.int64)
    places = (spelt.start, spelt.end, spelt.n_bytes, is_special, spelt.cell, spelt.cell_text)
    return spelt.text, TokenizedText(token_id, *places)


def limit_ids(tokenizer: Any, n_ids: int) -> list[str]:
    """Tell a tokenizer how many ids its model knows; :func:`encode` refuses texts with others.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        Of the model.
    n_ids : int
        Rows of the embedding, or of the head if that has fewer.

    Returns
    -------
    list of str
        The tokens of its vocabulary that the model has no row for, by id; mostly empty.
    """
    setattr(tokenizer, _N_IDS, n_ids)
    if len(tokenizer) <= n_ids and not getattr(tokenizer, "added_tokens_decoder", {}):
        return []
    over = {i: token for token, i in tokenizer.get_vocab().items() if i >= n_ids}
    return [over[i] for i in sorted(over)]


def require_rows(tokenizer: Any, ids: list[int]) -> None:
    """Refuse ids that the model has no row for.

    Raises
    ------
    InvalidTextError
        With the first of them.
    """
    n_ids = getattr(tokenizer, _N_IDS, None)
    over = next((i for i in ids if n_ids is not None and i >= n_ids), None)
    if over is not None:
        raise InvalidTextError(
            f"The text contains {token_text(tokenizer, over)} (id {over:,}), and the model has only {n_ids:,} rows.",
            "Take that token out, or load the checkpoint that was trained with it.",
        )


def _added_in_front(tokenizer: Any) -> int:
    """How many tokens the tokenizer puts in front of any text."""
    bare = tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"]
    full = tokenizer("a", verbose=False)["input_ids"]
    places = range(len(full) - len(bare) + 1)
    return next((at for at in places if full[at : at + len(bare)] == bare), 0)


def spans_by_decoding(tokenizer: Any, ids: list[int], text: str) -> list[tuple[int, int]]:
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
