"""What a model expected before one token: in a sentence, and as a short list. Results in, words and tables out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from analysis.drawing.numbers import count, significant
from analysis.results.alternatives import alternatives
from analysis.results.tokens import printable

if TYPE_CHECKING:
    from analysis.results.tokens import TokenTrace

_PLAIN_SHARE = 1e-5
"""Smallest probability that three plain digits of a percentage can say."""


class Word(str):
    """The text of a token inside a sentence, to be drawn as such."""

    __slots__ = ()


def probability_of(tokens: TokenTrace, position: int) -> float:
    """Probability of the token that came, ``exp(-surprisal)``; NaN without context."""
    return math.exp(-float(tokens.surprisal[position]))


def percent(share: float) -> str:
    """A probability or a share in plain decimals: "25.1 %", "under 0.001 %", "0 %" for none."""
    return f"{significant(100 * share) if share >= _PLAIN_SHARE or share == 0 else 'under 0.001'} %"


def expected_words(tokens: TokenTrace, position: int) -> tuple[str, ...]:
    """What the model expected before a token, and which of its choices the token was.

    Parameters
    ----------
    tokens : TokenTrace
        A run's tokens.
    position : int
        The token.

    Returns
    -------
    tuple of str
        Pieces of a sentence in order; texts of tokens are :class:`Word`.
    """
    came, rank = Word(tokens.text[position]), int(tokens.rank[position])
    if not rank:
        return ("Nothing came before ", came, ", so the model expected nothing here.")
    if rank == 1:
        return ("The model expected ", came, f" ({percent(probability_of(tokens, position))}), and it came.")
    first = Word(tokens.names[int(tokens.top_ids[position, 0])])
    surely = percent(math.exp(float(tokens.top_logprobs[position, 0])))
    return ("The model expected ", first, f" ({surely}); ", came, f" was its choice number {count(rank)}.")


def likely_tokens(tokens: TokenTrace, position: int, most: int = 8) -> pd.DataFrame:
    """The model's first choices before a token; the token that came is among them or the last row.

    Parameters
    ----------
    tokens : TokenTrace
        A run's tokens.
    position : int
        A token that had a context.
    most : int
        Rows, at most.

    Returns
    -------
    pandas.DataFrame
        ``place`` (1 for the first choice), ``token``, ``came`` and ``probability`` in [0, 1].
    """
    came = int(tokens.token_id[position])
    frame = alternatives(tokens.top_ids[position], tokens.top_logprobs[position], came, tokens.names)
    frame.insert(0, "place", range(1, len(frame) + 1))
    frame = frame.head(most)
    if frame["came"].any():
        return frame
    own = {
        "place": int(tokens.rank[position]),
        "token": printable(tokens.names[came]),
        "came": True,
        "probability": probability_of(tokens, position),
    }
    return pd.concat([frame.head(most - 1), pd.DataFrame([own])], ignore_index=True)
