"""Which ids of two vocabularies stand for the same: by bytes, never by number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.comparison.results import VocabularyMatch
from analysis.models.token_names import special_ids, token_pieces

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel

_ROLES = ("bos_token_id", "eos_token_id")
"""What makes a special token one: the same name is a beginning of a text here and a turn mark there."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """What every id of a model's head stands for; all that is needed of a model when it is no longer there."""

    pieces: tuple[bytes, ...]
    """(V,): bytes of each id, of special tokens their name; empty for padding of the head."""
    roles: Mapping[int, frozenset[str]]
    """What each special id is used as; most are used as nothing that is known."""
    twins: Mapping[int, str]
    """The vocabulary's own spelling of ids that share their bytes with others, such as ``A`` and ``<0x41>``."""

    def __len__(self) -> int:
        return len(self.pieces)


def vocabulary_of(tokenizer: Any, size: int) -> Vocabulary:
    """Read the vocabulary of a tokenizer.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        Of the model.
    size : int
        Rows V of the model's head, padded ids included.
    """
    found = token_pieces(tokenizer, range(size))
    pieces = tuple(found[i] for i in range(size))
    special = special_ids(tokenizer)
    of_role = {role: getattr(tokenizer, role, None) for role in _ROLES}
    times = Counter(piece for i, piece in enumerate(pieces) if i not in special)
    return Vocabulary(
        pieces,
        {i: frozenset(role for role, used in of_role.items() if used == i) for i in special if i < size},
        {
            i: str(tokenizer.convert_ids_to_tokens(i))
            for i, piece in enumerate(pieces)
            if piece and times[piece] > 1 and i not in special
        },
    )


def match_vocabularies(a: Vocabulary | LanguageModel, b: Vocabulary | LanguageModel) -> VocabularyMatch:
    """Match the ids of two vocabularies.

    Parameters
    ----------
    a, b : Vocabulary or LanguageModel
        Of the sides.

    Notes
    -----
    Ordinary tokens match by their bytes; where several of a side have the same bytes, by their spelling as well, or
    not at all. Special tokens match by name where their id or their known role is the same as well. Padding of the head matches
    padding with the same id. The kinds:

    - *identical*: every id stands for the same.
    - *permuted*: the same tokens at other ids.
    - *extended*: ids that one side does not have are special, padding or ambiguous; or one side has all ordinary tokens
      of the other at the same ids, and more, as a vocabulary to which tokens were added.
    - *different*: anything else. Models that split a text otherwise have no common distribution.
    """
    of_a, of_b = (side if isinstance(side, Vocabulary) else _of_model(side) for side in (a, b))
    if of_a is of_b or of_a.pieces == of_b.pieces:
        why = f"Both sides have the same {len(of_a):,} tokens."
        return VocabularyMatch("identical", why, None, len(of_a), 0, 0)
    keys = {_key(of_b, i): i for i in range(len(of_b))}
    b_of_a = np.array([_partner(i, of_a, of_b, keys) for i in range(len(of_a))], np.int64)
    shared = b_of_a >= 0
    n_shared = int(shared.sum())
    only_a, only_b = len(of_a) - n_shared, len(of_b) - n_shared
    sizes = n_shared, only_a, only_b
    if not only_a and not only_b:
        why = f"Both sides have the same {n_shared:,} tokens, at other ids."
        return VocabularyMatch("permuted", why, b_of_a, *sizes)
    lone_b = np.ones(len(of_b), bool)
    lone_b[b_of_a[shared]] = False
    doubled = {side.pieces[i] for side in (of_a, of_b) for i in side.twins}
    new_a = any(_is_ordinary(of_a, i, doubled) for i in np.flatnonzero(~shared).tolist())
    new_b = any(_is_ordinary(of_b, i, doubled) for i in np.flatnonzero(lone_b).tolist())
    kept = all(b_of_a[i] == i for i in np.flatnonzero(shared).tolist() if _is_ordinary(of_a, i, doubled))
    if not (new_a or new_b) or (kept and not (new_a and new_b)):
        why = (
            f"{n_shared:,} tokens are on both sides; A has {only_a:,} more and B {only_b:,}, which count as one rest on "
            "each side, so divergences are at least what is shown."
        )
        return VocabularyMatch("extended", why, b_of_a, *sizes)
    why = (
        f"Only {n_shared:,} of A's {len(of_a):,} tokens are among B's {len(of_b):,}: the sides have no common "
        "distribution, so no divergence, and are compared by surprisal per byte."
    )
    return VocabularyMatch("different", why, None, *sizes)


def ids_of_a(ids_b: np.ndarray, match: VocabularyMatch) -> np.ndarray:
    """B's tokens by A's ids, so that equal numbers are equal tokens.

    Parameters
    ----------
    ids_b : numpy.ndarray of int, shape (T,)
        Tokens of B.
    match : VocabularyMatch
        Of A and B.

    Returns
    -------
    numpy.ndarray of int64, shape (T,)
        A token that A does not have is ``-1 - id``.
    """
    ids_b = np.asarray(ids_b, np.int64)
    if match.b_of_a is None:
        return ids_b
    inverse = -1 - np.arange(match.n_shared + match.only_b)
    shared = match.b_of_a >= 0
    inverse[match.b_of_a[shared]] = np.flatnonzero(shared)
    return inverse[ids_b]


def _of_model(model: LanguageModel) -> Vocabulary:
    return vocabulary_of(model.tokenizer, model.info.vocab_size)


def _is_ordinary(vocabulary: Vocabulary, i: int, doubled: set[bytes]) -> bool:
    """Whether an id stands for text, and on both sides no two ids stand for that text."""
    return bool(vocabulary.pieces[i]) and i not in vocabulary.roles and vocabulary.pieces[i] not in doubled


def _key(vocabulary: Vocabulary, i: int) -> tuple[str, bytes]:
    """What an id of the other side must have as well to stand for the same."""
    piece = vocabulary.pieces[i]
    if not piece:
        return f"padding {i}", b""
    if i in vocabulary.roles:
        return "special", piece
    return f"spelt {vocabulary.twins.get(i, '')}", piece


def _partner(i: int, a: Vocabulary, b: Vocabulary, keys: Mapping[tuple[str, bytes], int]) -> int:
    """Id of B for an id of A, or -1."""
    if _keeps_its_name(i, a, b):
        return i
    j = keys.get(_key(a, i), -1)
    if j < 0 or _keeps_its_name(j, a, b):
        return -1
    return j if i not in a.roles or (a.roles[i] and a.roles[i] == b.roles[j]) else -1


def _keeps_its_name(i: int, a: Vocabulary, b: Vocabulary) -> bool:
    """Whether a special token of a side has the same name and id on the other, which may not call it special."""
    return (i in a.roles or i in b.roles) and i < min(len(a), len(b)) and a.pieces[i] == b.pieces[i]
