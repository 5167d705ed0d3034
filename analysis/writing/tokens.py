"""Ids and their numbers as a :class:`TokenTrace`: text, spans and cells follow from the bytes of the ids. No model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from analysis.results.decoded import decode
from analysis.results.token_quantities import stored_quantities
from analysis.results.tokens import TokenTrace
from analysis.writing.results import StepNumbers, TokenNames, Writing


def trace_of_ids(
    ids: Sequence[int] | np.ndarray,
    names: TokenNames,
    quantities: dict[str, np.ndarray],
    top_ids: np.ndarray,
    top_logprobs: np.ndarray,
) -> TokenTrace:
    """Tokens of a path with their numbers.

    Parameters
    ----------
    ids : sequence of int, length T
        The path.
    names : TokenNames
        Of all its ids and of those in the top lists.
    quantities : dict of str to numpy.ndarray, shape (T,)
        Measured quantities by name; entry t about token t.
    top_ids, top_logprobs : numpy.ndarray, shape (T, k)
        Alternatives of each token, -1 and NaN where it has no context.
    """
    path = [int(i) for i in ids]
    text = tuple(names.names.get(i, f"‹{i}›") for i in path)
    spelt = decode([names.pieces.get(i, b"") for i in path], text)
    return TokenTrace(
        token_id=np.array(path, np.int64),
        text=text,
        start=spelt.start,
        end=spelt.end,
        n_bytes=spelt.n_bytes,
        is_special=np.array([i in names.special for i in path], bool),
        cell=spelt.cell,
        cell_text=spelt.cell_text,
        context=np.arange(len(path), dtype=np.int32),
        top_ids=top_ids,
        top_logprobs=top_logprobs,
        names=names.names,
        **quantities,
    )


def tokens_of(w: Writing, branch: int) -> TokenTrace:
    """Prompt and branch as one text; entry t speaks about token t.

    Parameters
    ----------
    w : Writing
        What was written.
    branch : int
        Id of a branch.
    """
    parts: list[tuple[TokenTrace | StepNumbers, int]] = [(w.prompt_tokens, len(w.prompt.ids))]
    parts += [(one.numbers, n) for one, n in w.lineage(branch)]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name)[:n] for part, n in parts])

    quantities = {q.name: joined(q.name) for q in stored_quantities()}
    return trace_of_ids(w.path(branch), w.names, quantities, joined("top_ids"), joined("top_logprobs"))


def with_names(names: TokenNames, tokenizer: Any, ids: Iterable[int], shown: Iterable[int]) -> TokenNames:
    """Names with those of more ids.

    Parameters
    ----------
    names : TokenNames
        What is known.
    tokenizer
        transformers' tokenizer.
    ids : iterable of int
        Read or written: their bytes are kept, too.
    shown : iterable of int
        Only shown, as alternatives are.
    """
    from analysis.models.token_names import special_ids, token_pieces, token_texts

    ids = {int(i) for i in ids}
    more = {*ids, *map(int, shown)} - names.names.keys() - {-1}
    new = ids - names.pieces.keys()
    if not more and not new:
        return names
    return TokenNames(
        names.names | token_texts(tokenizer, more),
        names.pieces | token_pieces(tokenizer, new),
        names.special | (special_ids(tokenizer) & new if new else frozenset()),
    )
