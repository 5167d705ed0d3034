"""One text under two tokenizers: what its common spans cost on either side, in bits per byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.rules.laid import Laid, Number, Quantity
from analysis.comparison.rules.origin import Origin
from analysis.errors import AnalysisError
from analysis.papers.citations import titled

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison

ORIGIN = Origin(
    source="After " + titled("zett"),
    formula="sum of surprisals over the bytes of the spans that both sides predicted; per span the difference B - A",
    known="guess of ours",
    note="ZeTT predicts embeddings of another tokenizer by a network that is not here: these are two models as they are. A sum "
    "of surprisals belongs to one way of splitting the text, so it is at least what the bytes themselves cost.",
    sides="A and B read one text with tokenizers of their own.",
)


def other_tokenizer(c: Comparison) -> Laid:
    """Cost of one text under two tokenizers, span by span.

    Parameters
    ----------
    c : Comparison
        Any; with one tokenizer every span is a token.

    Raises
    ------
    AnalysisError
        If no span was predicted on both sides.
    """
    spans = c.spans
    there = spans.has_context
    if not there.any():
        raise AnalysisError("No span was predicted on both sides.", "Compare a longer text.")
    n_bytes = float(spans.n_bytes[there].sum())
    per_byte = [float(x[there].sum()) / n_bytes for x in (spans.surprisal_a, spans.surprisal_b)]
    single = (spans.n_tokens_a == 1) & (spans.n_tokens_b == 1)
    sized = there & (spans.n_bytes > 0)
    by_byte = np.full(len(there), np.nan)
    by_byte[sized] = spans.surprisal_change[sized] / spans.n_bytes[sized]
    numbers = (
        Number("per_byte_a", "per byte, A", per_byte[0], 1),
        Number("per_byte_b", "B", per_byte[1], 1),
        Number("bytes", "bytes compared", n_bytes),
        Number("tokens_a", "tokens of A", float(spans.n_tokens_a[there].sum())),
        Number("tokens_b", "of B", float(spans.n_tokens_b[there].sum())),
        Number("one_to_one", "spans of one token each", float(single.mean())),
    )
    quantities = (
        Quantity("change_per_byte", "surprisal change per byte", by_byte, 1),
        Quantity("surprisal_a", "surprisal A", spans.surprisal_a.astype(np.float64), 1),
        Quantity("surprisal_b", "surprisal B", spans.surprisal_b.astype(np.float64), 1),
    )
    return Laid(ORIGIN, quantities, ~single, "split otherwise", numbers, limit=0.0, over="spans")
