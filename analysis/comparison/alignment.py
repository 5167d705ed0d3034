"""Which tokens of two runs are the same ones: one to one by ids, or in spans by the bytes of a text that both read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.results import Alignment, AlignmentKind
from analysis.comparison.text_diff import common_end, common_ends, matching_stretches
from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from analysis.results.tokens import TokenTrace

LEAST_RUN = 4
"""Tokens, or spans, that a stretch of two different texts needs at least: fewer match by chance."""


def align(
    a: TokenTrace,
    b: TokenTrace,
    *,
    text_a: str,
    text_b: str,
    same_tokenizer: bool,
    kind: AlignmentKind | None = None,
) -> Alignment:
    """Say which tokens of two sides are the same ones.

    Parameters
    ----------
    a, b : TokenTrace
        Tokens of each side.
    text_a, text_b : str
        What the sides read.
    same_tokenizer : bool
        Whether equal ids are equal tokens. B's may be brought to A's before, see :func:`.vocabulary.ids_of_a`.
    kind : {"suffix", "prefix", "diff"}, optional
        How tokens with the same ids are found, where it is known what differs: a prompt in front of one text, its
        continuation, or words in between. Found out by default.

    Returns
    -------
    Alignment
        Spans are in order, and every token is in one at most.

    Raises
    ------
    AnalysisError
        If the sides have no stretch in common.
    """
    if not same_tokenizer:
        return _by_bytes(a, b, text_a, text_b)
    ids_a, ids_b = a.token_id, b.token_id
    if np.array_equal(ids_a, ids_b):
        return _paired("same", a, b, [(0, 0, len(ids_a))])
    first, last = common_ends(ids_a, ids_b)[0], common_end(ids_a, ids_b)
    if text_a == text_b:
        n_bytes = int(a.n_bytes.sum())
        if n_bytes not in (int(a.n_bytes[len(ids_a) - last :].sum()), int(a.n_bytes[:first].sum())):
            return _equal_pairs(a, b, _by_bytes(a, b, text_a, text_b))  # it loses nothing in between
    kind = kind or _whole(text_a, text_b, first, last)
    if kind == "suffix" and last:
        dropped = _split_otherwise(a, b, text_a, text_b, last)
        return _paired("suffix", a, b, [(len(ids_a) - last, len(ids_b) - last, last)], dropped)
    if kind == "prefix" and first:
        return _paired("prefix", a, b, [(0, 0, first)])
    found = matching_stretches(ids_a, ids_b)
    runs = [run for run in found if run[2] >= LEAST_RUN]
    _require(runs)
    end = (len(ids_a) - last, len(ids_b) - last, last)
    if kind is None and runs in ([end], [(0, 0, first)]):
        only: AlignmentKind = "suffix" if runs == [end] else "prefix"
        return align(a, b, text_a=text_a, text_b=text_b, same_tokenizer=True, kind=only)
    lone = sum(n for _, _, n in found) - sum(n for _, _, n in runs)
    notes = (
        (f"{lone:,} tokens that match in stretches of fewer than {LEAST_RUN} are left out.",) if lone else ()
    )
    return _paired("diff", a, b, runs, notes=notes)


def _whole(text_a: str, text_b: str, first: int, last: int) -> AlignmentKind | None:
    """How the sides belong together where one reads all that the other reads, and more at one end."""
    shorter, longer = sorted((text_a, text_b), key=len)
    ahead = last if longer.endswith(shorter) else 0
    behind = first if longer.startswith(shorter) else 0
    if not (ahead or behind):
        return None
    return "suffix" if ahead > behind else "prefix"


def _paired(
    kind: AlignmentKind,
    a: TokenTrace,
    b: TokenTrace,
    runs: list[tuple[int, int, int]],
    dropped: int = 0,
    notes: tuple[str, ...] = (),
) -> Alignment:
    """Every pair of equal tokens is a span of its own."""
    pairs = np.concatenate([np.arange(n)[:, None] + (i, j) for i, j, n in runs]).astype(np.int64)
    span_a, span_b = np.full(len(a), -1, np.int32), np.full(len(b), -1, np.int32)
    span_a[pairs[:, 0]] = span_b[pairs[:, 1]] = np.arange(len(pairs))
    return Alignment(kind, pairs, span_a, span_b, a.n_bytes[pairs[:, 0]].astype(np.int32), dropped, notes)


def _split_otherwise(a: TokenTrace, b: TokenTrace, text_a: str, text_b: str, last: int) -> int:
    """Tokens within the common end of the texts that do not belong to the common end of the ids."""
    shared = common_end(_bytes(text_a), _bytes(text_b))
    most = 0
    for tokens in (a, b):
        ahead = tokens.n_bytes[: len(tokens) - last].astype(np.int64)
        behind = int(tokens.n_bytes[len(tokens) - last :].sum())
        reach = np.cumsum(ahead[::-1]) + behind  # bytes from each token's beginning to the end of the text
        most = max(most, int(((reach <= shared) & (ahead[::-1] > 0)).sum()))
    return most


def _by_bytes(a: TokenTrace, b: TokenTrace, text_a: str, text_b: str) -> Alignment:
    """The smallest spans that both sides' tokens fill: of the whole text, or of the ends that two texts share."""
    data_a, data_b = _bytes(text_a), _bytes(text_b)
    for tokens, data, name in ((a, data_a, "A"), (b, data_b, "B")):
        if int(tokens.n_bytes.sum()) != len(data):
            raise AnalysisError(f"The tokens of side {name} are not those of its text.", "Measure it again.")
    same = np.array_equal(data_a, data_b)
    first, last = (len(data_a), 0) if same else common_ends(data_a, data_b)
    stretches = [(0, 0, first), (len(data_a) - last, len(data_b) - last, last)]
    end_a, end_b = (np.cumsum(tokens.n_bytes, dtype=np.int64) for tokens in (a, b))
    span_a, span_b = np.full(len(a), -1, np.int32), np.full(len(b), -1, np.int32)
    sizes: list[np.ndarray] = []
    for at_a, at_b, n in stretches:
        edges_a, edges_b = _edges(a, end_a) - at_a, _edges(b, end_b) - at_b
        edges = np.intersect1d(edges_a, edges_b)
        edges = edges[(edges >= 0) & (edges <= n)]
        if len(edges) <= (1 if same else LEAST_RUN):
            continue
        before = sum(map(len, sizes))
        for span, tokens, end in ((span_a, a, end_a - at_a), (span_b, b, end_b - at_b)):
            inside = (tokens.n_bytes > 0) & (end - tokens.n_bytes >= edges[0]) & (end <= edges[-1])
            span[inside] = before + np.searchsorted(edges, end[inside]) - 1
        sizes.append(np.diff(edges))
    _require(sizes)
    span_bytes = np.concatenate(sizes).astype(np.int32)
    one = (np.bincount(span_a[span_a >= 0]) == 1) & (np.bincount(span_b[span_b >= 0]) == 1)
    at = [np.flatnonzero((span >= 0) & one[np.maximum(span, 0)]) for span in (span_a, span_b)]
    return Alignment("spans", np.stack(at, 1).astype(np.int64), span_a, span_b, span_bytes)


def _equal_pairs(a: TokenTrace, b: TokenTrace, found: Alignment) -> Alignment:
    """Only pairs of tokens with one id."""
    at_a, at_b = found.pairs.T
    return replace(found, pairs=found.pairs[a.token_id[at_a] == b.token_id[at_b]])


def _edges(tokens: TokenTrace, end: np.ndarray) -> np.ndarray:
    """Where tokens with bytes begin and end, in bytes."""
    return np.concatenate([[0], end[tokens.n_bytes > 0]])


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def _require(stretches: list) -> None:
    if not stretches:
        raise AnalysisError(
            f"The two sides have no stretch of {LEAST_RUN} tokens in common.",
            "Choose sides that read the same text, or one with a few words changed.",
        )
