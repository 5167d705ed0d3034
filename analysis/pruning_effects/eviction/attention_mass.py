"""How much of a run's attention its heaviest tokens draw: what a cache could drop at best. No second forward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import theme
from analysis.pruning_effects.eviction.budgets import kept_count

if TYPE_CHECKING:
    from analysis.results.attention import AttentionTrace
    from analysis.results.trace import Trace

SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def heavy_frame(attention: AttentionTrace) -> pd.DataFrame:
    """Share of all attention that the heaviest tokens of every head draw.

    Parameters
    ----------
    attention : AttentionTrace
        Of one run.

    Returns
    -------
    pandas.DataFrame
        ``kept`` (share of the tokens, the heaviest of each head), ``mean``, ``lowest`` and ``highest`` over heads.

    Notes
    -----
    Column sums of the whole text are used, later queries included: an upper bound for methods that choose by
    accumulated attention, not what any of them would keep.
    """
    received = attention.received.astype(np.float64)
    n = received.shape[-1]
    columns = received * attention.seen_by()[:, None]
    heaviest = -np.sort(-columns, axis=-1)
    drawn = np.cumsum(heaviest, -1) / heaviest.sum(-1, keepdims=True)
    rows = [(share, drawn[..., kept_count(n, share) - 1]) for share in SHARES]
    return pd.DataFrame(
        {
            "kept": [share for share, _ in rows],
            "mean": [values.mean() for _, values in rows],
            "lowest": [values.min() for _, values in rows],
            "highest": [values.max() for _, values in rows],
        }
    )


def heaviest(attention: AttentionTrace, share: float = 0.1) -> tuple[float, float]:
    """A share of the tokens, one of :data:`SHARES`, and what the heaviest so many draw on average over heads."""
    frame = heavy_frame(attention)
    return share, float(frame["mean"].iloc[SHARES.index(share)])


def heavy_tokens(trace: Trace, *, theme_name: str = "light") -> Any:
    """Attention drawn by the heaviest tokens against how many of them there are, mean and range over heads.

    Raises
    ------
    ValueError
        If the run did not measure attention.
    """
    if trace.attention is None:
        raise ValueError("the run did not measure attention")
    colour = theme(theme_name).pictures["pruning_effects"]
    base = alt.Chart(heavy_frame(trace.attention)).encode(
        x=alt.X(
            "kept:Q", title="share of the tokens, heaviest first", axis=alt.Axis(format=".0%", grid=False)
        )
    )
    scale = alt.Scale(domain=[0, 1])
    band = base.mark_area(color=colour, opacity=0.18).encode(
        y=alt.Y("lowest:Q", title="attention they draw", scale=scale, axis=alt.Axis(format=".0%")),
        y2="highest:Q",
    )
    line = base.mark_line(color=colour, point={"size": 26, "color": colour}).encode(
        y=alt.Y("mean:Q", title="attention they draw", scale=scale),
        tooltip=[alt.Tooltip("kept:Q", format=".0%"), alt.Tooltip("mean:Q", format=".1%")],
    )
    return styled(alt.layer(band, line).properties(width="container", height=300), theme_name)
