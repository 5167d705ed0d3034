"""A comparison with its sides exchanged: every number is there already."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np

from analysis.comparison.differences import differences
from analysis.comparison.results import (
    Alignment,
    ComparedRows,
    ComparedSpans,
    Comparison,
    VocabularyMatch,
)

Both = TypeVar("Both", ComparedRows, ComparedSpans)

_OTHER = {
    "kl_ab": "kl_ba",
    "kl_ba": "kl_ab",
    "rank_of_a_in_b": "rank_of_b_in_a",
    "rank_of_b_in_a": "rank_of_a_in_b",
    "top_a_in_b": "top_b_in_a",
    "top_b_in_a": "top_a_in_b",
}


def swapped(c: Comparison) -> Comparison:
    """A and B exchanged. ``swapped(swapped(c))`` is ``c`` again."""
    return replace(
        c,
        a=c.b,
        b=c.a,
        differs=differences(c.b, c.a),
        alignment=_alignment(c.alignment),
        vocabulary=_vocabulary(c.vocabulary, c.b.spec.vocab_size),
        spans=_exchanged(c.spans),
        rows=None if c.rows is None else _exchanged(c.rows),
        unavailable={
            part: _renamed(why, *(() if why == c.vocabulary.why else (r"\bSide [AB]\b",)))
            for part, why in c.unavailable.items()
        },
        checks=tuple(replace(check, name=_renamed(check.name, r"^[AB]\b")) for check in c.checks),
        seconds={_renamed(part): s for part, s in c.seconds.items()},
    )


def _alignment(alignment: Alignment) -> Alignment:
    return replace(
        alignment, pairs=alignment.pairs[:, ::-1].copy(), span_a=alignment.span_b, span_b=alignment.span_a
    )


def _vocabulary(match: VocabularyMatch, size_b: int) -> VocabularyMatch:
    inverse = None
    if match.b_of_a is not None:
        inverse = np.full(size_b, -1, np.int64)
        known = np.flatnonzero(match.b_of_a >= 0)
        inverse[match.b_of_a[known]] = known
    return replace(match, why=_renamed(match.why), b_of_a=inverse, only_a=match.only_b, only_b=match.only_a)


def _exchanged(both: Both) -> Both:
    """Every field of A from that of B, and the reverse."""
    found = {}
    for field in fields(both):
        name = field.name
        other = _OTHER.get(name)
        if other is None and name.endswith(("_a", "_b")):
            other = name[:-1] + ("b" if name.endswith("a") else "a")
        found[name] = getattr(both, other or name)
    return type(both)(**found)


def _renamed(text: str, where: str = r"\b[AB]\b") -> str:
    """A and B exchanged wherever they stand as names of sides."""
    return re.sub(where, lambda found: found[0][:-1] + ("B" if found[0][-1] == "A" else "A"), text)
