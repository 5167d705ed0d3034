"""The tokens that differ most, in one comparison or in many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.comparison.results import Comparison
from analysis.comparison.tables import first_choices
from analysis.errors import AnalysisError
from analysis.results.tokens import TokenTrace, printable
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import pandas as pd

MEASURES = {
    "jsd": 1,
    "kl_ab": 1,
    "kl_ba": 1,
    "tv": 0,
    "entropy_change": 1,
    "surprisal_change": 1,
    "prob_change": 0,
    "rank_change": 0,
}
"""What tokens can be ordered by, with the power of the unit. What has a sign is ordered by its size."""
OF_SPANS = "surprisal_change"
"""What spans are ordered by, where distributions cannot be compared."""
_BEFORE = 40
"""Characters of the text shown in front of a token."""


def most_changed(
    c: Comparison | Sequence[Comparison],
    by: str = "jsd",
    n: int = 20,
    *,
    specials: bool = False,
    first: int = 1,
    unit: Unit = "nats",
) -> pd.DataFrame:
    """The tokens, or spans, at which two sides differ most.

    Parameters
    ----------
    c : Comparison or sequence of Comparison
        One, or one per text.
    by : str, default "jsd"
        One of :data:`MEASURES`.
    n : int, default 20
        Rows, at most.
    specials : bool, default False
        Whether special tokens count: those of a template differ most between any two sides, and say least.
    first : int, default 1
        Tokens with less context than this on one of the sides do not count: a missing beginning-of-text token moves the
        first few most.
    unit : {"nats", "bits"}
        Unit of information.

    Returns
    -------
    pandas.DataFrame
        The most changed first; of equal ones, the earlier. ``pair`` is the place in the alignment (``span`` that of a
        common span, where distributions cannot be compared: then by surprisal alone).

    Raises
    ------
    AnalysisError
        If there is no such measure, or nothing to order.
    """
    import pandas as pd

    if by not in MEASURES:
        raise AnalysisError(f"Tokens cannot be ordered by {by!r}.", f"Choose one of {', '.join(MEASURES)}.")
    several = [c] if isinstance(c, Comparison) else list(c)
    if not several:
        raise AnalysisError("There is no comparison to look through.", "Compare at least one text.")
    paired = all(one.rows is not None for one in several)
    frames = [
        (_of_pairs(one, by, specials, first) if paired else _of_spans(one)).assign(text=number)
        for number, one in enumerate(several)
    ]
    name = by if paired else OF_SPANS
    frame = pd.concat(frames, ignore_index=True)
    frame = frame[~frame[name].isna()]
    order = np.argsort(-frame[name].abs().to_numpy(), kind="stable")[:n]
    frame = frame.iloc[order].reset_index(drop=True)
    carry = [column for column in (name, "surprisal_a", "surprisal_b") if MEASURES.get(column, 1)]
    for column in dict.fromkeys(carry):
        frame[column] = from_nats(frame[column], unit)
    frame = frame.rename(columns={column: f"{column}_{unit}" for column in dict.fromkeys(carry)})
    return frame if len(several) > 1 else frame.drop(columns="text")


def _of_pairs(c: Comparison, by: str, specials: bool, first: int) -> pd.DataFrame:
    import pandas as pd

    rows, (at_a, at_b) = c.rows, c.alignment.pairs.T
    assert rows is not None
    frame = pd.DataFrame(
        {
            "pair": np.arange(len(at_a)),
            "position_a": at_a,
            "position_b": at_b,
            "before": [_before(c.a.tokens, c.a.text, i) for i in at_a],
            "token": [printable(c.a.tokens.text[i]) for i in at_a],
            by: getattr(rows, by).astype(np.float64),
            "surprisal_a": rows.surprisal_a.astype(np.float64),
            "surprisal_b": rows.surprisal_b.astype(np.float64),
            "rank_a": rows.rank_a,
            "rank_b": rows.rank_b,
            "first_choice_a": first_choices(c.a.tokens, rows.top_ids_a),
            "first_choice_b": first_choices(c.b.tokens, rows.top_ids_b),
        }
    )
    context = np.minimum(c.a.tokens.context[at_a], c.b.tokens.context[at_b])
    counts = context >= first
    return frame[counts if specials else counts & ~c.a.tokens.is_special[at_a]]


def _of_spans(c: Comparison) -> pd.DataFrame:
    import pandas as pd

    spans = c.spans
    return pd.DataFrame(
        {
            "span": np.arange(len(spans.n_bytes)),
            "token": [printable(text) for text in spans.text],
            OF_SPANS: spans.surprisal_change,
            "surprisal_a": spans.surprisal_a,
            "surprisal_b": spans.surprisal_b,
            "tokens_a": spans.n_tokens_a,
            "tokens_b": spans.n_tokens_b,
        }
    )


def _before(tokens: TokenTrace, text: str, position: int) -> str:
    start = int(tokens.start[position])
    return printable(text[max(0, start - _BEFORE) : start]) if start > 0 else ""
