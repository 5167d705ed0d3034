"""What a comparison says in a few numbers and in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.units import from_nats

if TYPE_CHECKING:
    from analysis.comparison.items import Items
    from analysis.comparison.results import Comparison

_MORE, _LESS = 3, 2
"""Tokens named in the sentence."""
_CALM_SHARE, _CALM_TOKENS = 0.05, 8
"""The difference is called small where KL stays under this share of its largest, for at least so many tokens."""


@dataclass(frozen=True)
class Headline:
    """The numbers at the head of the page, over what both sides predicted; nats."""

    n: int
    """Pairs, or spans where the vocabularies differ."""
    entropy: tuple[float, float]
    """Mean of A and of B, per token; NaN for spans."""
    surprisal: tuple[float, float]
    bits_per_byte: tuple[float, float]
    """Surprisal of the compared text over its bytes, bits."""
    kl: float
    """Mean KL(A || B); NaN without rows."""
    at_least: bool
    """Whether the divergence is a lower bound."""
    n_same_first: int
    """Pairs with the same first choice; 0 without rows."""


def headline(c: Comparison) -> Headline:
    """Numbers of a comparison."""
    spans = c.spans
    known = spans.has_context
    n_bytes = float(spans.n_bytes[known].sum())
    per_byte = tuple(
        from_nats(float(s[known].sum()), "bits") / n_bytes if n_bytes else float("nan")
        for s in (spans.surprisal_a, spans.surprisal_b)
    )
    if c.rows is None:
        nothing = (float("nan"), float("nan"))
        return Headline(int(known.sum()), nothing, nothing, per_byte, float("nan"), False, 0)  # type: ignore[arg-type]
    rows, seen = c.rows, c.rows.has_context

    def mean(values: np.ndarray) -> float:
        return float(values[seen].mean(dtype=np.float64)) if seen.any() else float("nan")

    return Headline(
        int(seen.sum()),
        (mean(rows.entropy_a), mean(rows.entropy_b)),
        (mean(rows.surprisal_a), mean(rows.surprisal_b)),
        per_byte,  # type: ignore[arg-type]
        mean(rows.kl_ab),
        rows.at_least,
        int((rows.first_differs[seen] == 0).sum()),
    )


@dataclass(frozen=True)
class Finding:
    """What one sentence says."""

    same: bool
    """Whether no number differs at all."""
    more: tuple[tuple[str, float], ...]
    """Text and change of surprisal, nats, of what surprised B more, largest first."""
    less: tuple[tuple[str, float], ...]
    """The same of what surprised it less."""
    calm_after: int | None = None
    """Token of A after which the difference is small; None if it never is."""
    calm_kl: float = 0.0
    """Largest KL(A || B) from there on, nats."""


def finding(c: Comparison) -> Finding:
    """What differs most, and from where on hardly anything does.

    Parameters
    ----------
    c : Comparison
        Two sides.
    """
    if c.rows is None:
        change, words = c.spans.surprisal_change, list(c.spans.text)
        same = bool(np.nanmax(np.abs(change), initial=0.0) == 0)
    else:
        change = c.rows.surprisal_change
        words = [c.a.tokens.text[at] for at in c.alignment.pairs[:, 0]]
        same = bool(np.nanmax(np.abs(np.concatenate([change, c.rows.kl_ab])), initial=0.0) == 0)
    order = np.argsort(-np.nan_to_num(change), kind="stable")
    more = tuple((words[k], float(change[k])) for k in order[:_MORE] if change[k] > 0)
    less = tuple((words[k], float(change[k])) for k in order[::-1][:_LESS] if change[k] < 0)
    return Finding(same, more, less, *_calm(c))


def _calm(c: Comparison) -> tuple[int | None, float]:
    """Token of A after which KL(A || B) stays small, and its largest value there."""
    if c.rows is None:
        return None, 0.0
    kl = np.nan_to_num(c.rows.kl_ab)
    limit = _CALM_SHARE * float(kl.max(initial=0.0))
    loud = np.flatnonzero(kl > limit)
    if not len(loud) or len(kl) - 1 - loud[-1] < _CALM_TOKENS:
        return None, 0.0
    return int(c.alignment.pairs[loud[-1], 0]), float(kl[loud[-1] + 1 :].max())


def most_changed_item(c: Comparison, items: Items) -> int:
    """Item whose surprisal changed most, the earlier of equal ones; 0 if nothing was compared."""
    of, number = (c.spans, items.span) if c.rows is None else (c.rows, items.row)
    size = np.nan_to_num(np.abs(of.surprisal_change))
    if not len(size):
        return 0
    found = np.flatnonzero(number == int(size.argmax()))
    return int(found[0]) if len(found) else 0
