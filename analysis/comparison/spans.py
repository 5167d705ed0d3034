"""What both sides say about every common span: sums over their own tokens, whatever the vocabularies are."""

from __future__ import annotations

import numpy as np

from analysis.comparison.results import Alignment, ComparedSpans
from analysis.results.tokens import TokenTrace


def compared_spans(a: TokenTrace, b: TokenTrace, alignment: Alignment) -> ComparedSpans:
    """Sums over the tokens of every span, in float64.

    Parameters
    ----------
    a, b : TokenTrace
        The sides' tokens.
    alignment : Alignment
        Of these.

    Notes
    -----
    A sum of surprisals is -ln of the probability that the model gives to this way of splitting the span's bytes; the
    bytes themselves are at least as likely. A sum of entropies counts choices of tokens, and is no entropy of bytes.
    """
    n = alignment.n_spans
    return ComparedSpans(
        surprisal_a=_sums(a.surprisal, alignment.span_a, n),
        surprisal_b=_sums(b.surprisal, alignment.span_b, n),
        entropy_a=_sums(a.entropy, alignment.span_a, n),
        entropy_b=_sums(b.entropy, alignment.span_b, n),
        n_bytes=alignment.span_bytes,
        n_tokens_a=_counts(alignment.span_a, n),
        n_tokens_b=_counts(alignment.span_b, n),
        text=_texts(a, alignment.span_a, n),
    )


def _sums(values: np.ndarray, span: np.ndarray, n: int) -> np.ndarray:
    inside = span >= 0
    return np.bincount(span[inside], values[inside].astype(np.float64), minlength=n)


def _counts(span: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(span[span >= 0], minlength=n).astype(np.int32)


def _texts(tokens: TokenTrace, span: np.ndarray, n: int) -> tuple[str, ...]:
    """Cells of the tokens of every span, each in the first span that has a token of it."""
    texts, last = [""] * n, -1
    for at, cell in zip(span.tolist(), tokens.cell.tolist(), strict=True):
        if at >= 0 and cell != last:
            texts[at] += tokens.cell_text[cell]
        last = cell if at >= 0 else last
    return tuple(texts)
