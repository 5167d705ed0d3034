"""What is drawn of two sides, one after another: what both have, and between it what only one has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison
    from analysis.results.tokens import TokenTrace


@dataclass(frozen=True, eq=False)
class Items:
    """Spans that both sides have, in order, and tokens of one side alone where they stand.

    Tokens of A alone and of B alone between the same two spans stand under each other, the first under the first; they
    are not compared.
    """

    start_a: np.ndarray
    """int32, (n,): first token of A; where it would be, if A has none here."""
    end_a: np.ndarray
    """int32, (n,): one past the last; equal to ``start_a`` if A has none."""
    start_b: np.ndarray
    end_b: np.ndarray
    span: np.ndarray
    """int32, (n,): number of the span; -1 where there is nothing to compare."""
    row: np.ndarray
    """int32, (n,): entry of the compared rows; -1 for none."""
    column: np.ndarray
    """int32, (n,), never falling: items that share a character on one side are drawn as one."""
    text_a: tuple[str, ...]
    """Text of each column on side A, (C,)."""
    text_b: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.span)

    @property
    def has_a(self) -> np.ndarray:
        """bool, (n,)."""
        return self.end_a > self.start_a

    @property
    def has_b(self) -> np.ndarray:
        """bool, (n,)."""
        return self.end_b > self.start_b

    @cached_property
    def item_of_a(self) -> np.ndarray:
        """int32, (Ta,): item of each token of A."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.end_a - self.start_a)

    @cached_property
    def item_of_b(self) -> np.ndarray:
        """int32, (Tb,)."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.end_b - self.start_b)

    def item_of(self, number: int, *, pair: bool) -> int | None:
        """Item of a pair of the compared rows, or of a span; None if nothing is drawn for it."""
        found = np.flatnonzero((self.row if pair else self.span) == number)
        return int(found[0]) if len(found) else None

    @property
    def edges(self) -> np.ndarray:
        """int64: first item of every stretch that only one side has."""
        alone = self.span < 0
        return np.flatnonzero(alone & ~np.concatenate([[False], alone[:-1]]))


def items_of(c: Comparison) -> Items:
    """Put both sides' tokens in one order.

    Parameters
    ----------
    c : Comparison
        Its alignment decides; every token of both sides is in exactly one item.
    """
    made = _in_order(c.alignment.span_a.tolist(), c.alignment.span_b.tolist())
    start_a, end_a, start_b, end_b, span = made.T if len(made) else np.zeros((5, 0), np.int32)
    row = np.full(len(made), -1, np.int32)
    if c.rows is not None:
        of_a = np.full(len(c.alignment.span_a) + 1, -1, np.int32)
        of_a[c.alignment.pairs[:, 0]] = np.arange(len(c.alignment.pairs))
        both = (end_a - start_a == 1) & (end_b - start_b == 1) & (span >= 0)
        row = np.where(both, of_a[start_a], -1).astype(np.int32)
    a, b = c.a.tokens, c.b.tokens
    column = _columns(a, b, start_a, end_a, start_b, end_b)
    return Items(
        start_a,
        end_a,
        start_b,
        end_b,
        span,
        row,
        column,
        _texts(a, start_a, end_a, column),
        _texts(b, start_b, end_b, column),
    )


def _in_order(span_a: list[int], span_b: list[int]) -> np.ndarray:
    """One row per item: first token of A and one past its last, the same of B, number of the span; int32, (n, 5)."""
    out: list[tuple[int, int, int, int, int]] = []
    n_a, n_b, i, j = len(span_a), len(span_b), 0, 0
    while i < n_a or j < n_b:
        from_a, from_b = i, j
        while i < n_a and span_a[i] < 0:
            i += 1
        while j < n_b and span_b[j] < 0:
            j += 1
        for k in range(max(i - from_a, j - from_b)):
            a, b = min(from_a + k, i), min(from_b + k, j)
            out.append((a, min(a + 1, i), b, min(b + 1, j), -1))
        here = [spans[at] for spans, at, n in ((span_a, i, n_a), (span_b, j, n_b)) if at < n]
        if not here:
            continue
        number, from_a, from_b = min(here), i, j
        while i < n_a and span_a[i] == number:
            i += 1
        while j < n_b and span_b[j] == number:
            j += 1
        out.append((from_a, i, from_b, j, number if i > from_a and j > from_b else -1))
    return np.array(out, np.int32).reshape(-1, 5)


def _columns(
    a: TokenTrace,
    b: TokenTrace,
    start_a: np.ndarray,
    end_a: np.ndarray,
    start_b: np.ndarray,
    end_b: np.ndarray,
) -> np.ndarray:
    """Column of each item, int32, (n,)."""
    starts = np.ones(len(start_a), bool)
    for tokens, start, end in ((a, start_a, end_a), (b, start_b, end_b)):
        has = np.flatnonzero(end > start)
        shares = tokens.cell[end[has[:-1]] - 1] == tokens.cell[start[has[1:]]]
        starts[has[1:][shares & (np.diff(has) == 1)]] = False
    return (np.cumsum(starts) - 1).astype(np.int32)


def _texts(tokens: TokenTrace, start: np.ndarray, end: np.ndarray, column: np.ndarray) -> tuple[str, ...]:
    """Text of a side in each column: of its cells, each once."""
    out: list[str] = [""] * (int(column[-1]) + 1 if len(column) else 0)
    cells: Sequence[int] = tokens.cell.tolist()
    last = -1
    for first, stop, at in zip(start.tolist(), end.tolist(), column.tolist(), strict=True):
        for cell in cells[first:stop]:
            if cell != last:
                out[at] += tokens.cell_text[cell]
            last = cell
    return tuple(out)
