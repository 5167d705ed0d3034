"""Tokens that come more than once: the surprise of the first time and of the later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from analysis.results.tokens import TokenTrace


def repeated_tokens(tokens: TokenTrace) -> pd.DataFrame:
    """One row per token that comes again: how often, first surprisal and mean of the later ones, nats."""
    frame = pd.DataFrame(
        {"id": tokens.token_id, "surprisal": tokens.surprisal, "token": tokens.text},
    )
    groups = frame.groupby("id", sort=False)
    table = groups.agg(
        token=("token", "first"),
        times=("token", "size"),
        first_nats=("surprisal", lambda s: s.iloc[0]),
        later_nats=("surprisal", lambda s: s.iloc[1:].mean()),
    )
    return table[table["times"] > 1].reset_index(drop=True)
