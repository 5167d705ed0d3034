"""What both sides would have said in the place of one token, and what rose and fell between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison
    from analysis.results.tokens import TokenTrace


def choices_on_both(c: Comparison, row: int, n: int = 8) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first choices of A and of B before one token.

    Parameters
    ----------
    c : Comparison
        With compared rows.
    row : int
        Which of them.
    n : int
        Choices of each side, at most; a row has as many as were kept.

    Returns
    -------
    (DataFrame, DataFrame)
        A's and B's, best first: ``token``, ``probability``, ``other`` (probability on the other side; NaN where that has no
        such token), ``change`` (B less A) and ``came`` (whether it is the text's token).
    """
    rows = c.rows
    assert rows is not None
    at_a, at_b = c.alignment.pairs[row]
    a = _choices(
        c.a.tokens, int(at_a), rows.top_ids_a[row], rows.top_logprobs_a[row], rows.top_a_in_b[row], n
    )
    b = _choices(
        c.b.tokens, int(at_b), rows.top_ids_b[row], rows.top_logprobs_b[row], rows.top_b_in_a[row], n
    )
    a["change"], b["change"] = a["other"] - a["probability"], b["probability"] - b["other"]
    return a, b


def _choices(
    tokens: TokenTrace, at: int, ids: np.ndarray, own: np.ndarray, other: np.ndarray, n: int
) -> pd.DataFrame:
    there = np.flatnonzero(ids >= 0)[:n]
    names = [tokens.names.get(int(i), f"id {int(i)}") for i in ids[there]]
    return pd.DataFrame(
        {
            "token": pd.Series(names, dtype=object),
            "probability": np.exp(own[there].astype(np.float64)),
            "other": np.exp(other[there].astype(np.float64)),
            "came": ids[there] == tokens.token_id[at],
        }
    )
