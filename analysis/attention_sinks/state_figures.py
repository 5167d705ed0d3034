"""Sizes of states along the text, and attention entropy against token entropy. Results in, figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.attention_sinks.curve_figures import need_attention
from analysis.attention_sinks.measures import entropies_frame
from analysis.drawing.charts import MAX_POINTS, alt, styled
from analysis.drawing.decades import decades
from analysis.drawing.labels import visible
from analysis.drawing.theme import theme
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    from analysis.results.trace import Trace

_MOST_BARS = 600


def state_size_frame(trace: Trace, layer: int) -> pd.DataFrame:
    """One row per token: ``position``, ``token``, ``state_norm`` at a layer and ``times_median`` of all tokens' there."""
    norms = trace.layers.residual_norm[layer].astype(float)
    return pd.DataFrame(
        {
            "position": np.arange(len(norms)),
            "token": [visible(text) for text in trace.tokens.text],
            "state_norm": norms,
            "times_median": norms / max(float(np.median(norms)), 1e-12),
        }
    )


def state_sizes(
    trace: Trace, layer: int, position: int | None = None, *, theme_name: str = "light"
) -> alt.LayerChart:
    """Norm of every token's state at one layer, as bars on a logarithmic axis.

    Parameters
    ----------
    trace : Trace
        Any run.
    layer : int
        0 is what enters block 1, L the last.
    position : int, optional
        A token marked in ink.
    theme_name : {"light", "dark"}
        Colours.

    Notes
    -----
    A long text has one bar for several tokens: the largest of them.
    """
    colours, frame = theme(theme_name), state_size_frame(trace, layer)
    step = -(-len(frame) // _MOST_BARS)
    drawn = frame.loc[frame.groupby(frame["position"] // step)["state_norm"].idxmax()]
    low = 0.7 * max(float(drawn["state_norm"].min()), 1e-9)
    high = 1.4 * max(float(drawn["state_norm"].max()), low)
    drawn = drawn.assign(base=low, end=drawn["position"] + 0.85 * step)
    median = pd.DataFrame({"median": [float(np.median(frame["state_norm"]))]})
    y = alt.Y(
        "state_norm:Q",
        title=f"state norm at layer {layer} (log scale)",
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(**decades(low, high)),
    )
    chosen: Any = alt.value(colours.pictures["attention_sinks"])
    if position is not None:
        inside = f"datum.position <= {position} && {position} < datum.position + {step}"
        chosen = alt.condition(inside, alt.value(colours.ink), chosen)
    bars = (
        alt.Chart(drawn)
        .mark_rect()
        .encode(
            x=alt.X("position:Q", title="token", axis=alt.Axis(grid=False, format="d"), scale=alt.Scale(nice=False)),
            x2="end:Q",
            y=y,
            y2="base:Q",
            color=chosen,
            tooltip=[
                "position:Q",
                "token:N",
                alt.Tooltip("state_norm:Q", format=".4g"),
                alt.Tooltip("times_median:Q", format=".4g"),
            ],
        )
    )  # fmt: skip
    line = (
        alt.Chart(median)
        .mark_rule(color=colours.muted, strokeDash=[4, 3])
        .encode(y=alt.Y("median:Q", title=f"state norm at layer {layer} (log scale)"))
    )
    return styled(alt.layer(bars, line).properties(width="container", height=230), theme_name)


def entropy_scatter_frame(trace: Trace, unit: Unit = "nats") -> pd.DataFrame:
    """As :func:`~.measures.entropies_frame`, with the ``token`` and its entropy in a unit."""
    frame = entropies_frame(need_attention(trace), trace.tokens.entropy)
    frame.insert(1, "token", [visible(trace.tokens.text[t]) for t in frame["position"]])
    return frame.assign(token_entropy=from_nats(frame["token_entropy"].to_numpy(), unit))


def rank_correlation(frame: pd.DataFrame) -> float:
    """Spearman's correlation of the two entropies of :func:`entropy_scatter_frame`; NaN for fewer than three tokens.

    Ranks of equal values are their mean; the result is Pearson's correlation of the ranks.
    """
    ranks = frame[["attention_entropy", "token_entropy"]].rank()
    if len(ranks) < 3 or (ranks.nunique() < 2).any():
        return float("nan")
    return float(ranks["attention_entropy"].corr(ranks["token_entropy"]))


def attention_scatter(
    trace: Trace, position: int | None = None, *, unit: Unit = "nats", theme_name: str = "light"
) -> alt.LayerChart:
    """Token entropy against the attention entropy of the query that predicts the token; a token marked in ink."""
    colours, frame = theme(theme_name), entropy_scatter_frame(trace, unit)
    drawn = frame.iloc[:: -(-len(frame) // MAX_POINTS) or 1]

    def points(rows: pd.DataFrame, **mark: Any) -> Any:
        return (
            alt.Chart(rows)
            .mark_point(**mark)
            .encode(
                x=alt.X(
                    "attention_entropy:Q",
                    title="attention entropy / ln of visible tokens, mean over heads",
                    scale=alt.Scale(zero=False),
                    axis=alt.Axis(grid=False),
                ),
                y=alt.Y("token_entropy:Q", title=f"token entropy, {unit}"),
                tooltip=[
                    "position:Q",
                    "token:N",
                    alt.Tooltip("attention_entropy:Q", format=".4f"),
                    alt.Tooltip("token_entropy:Q", format=".4f"),
                ],
            )
        )

    accent = colours.pictures["attention_sinks"]
    cloud = points(drawn, filled=True, size=34, opacity=0.55, color=accent)
    marked = points(
        frame[frame["position"] == position], filled=False, size=130, strokeWidth=2, color=colours.ink
    )
    return styled(alt.layer(cloud, marked).properties(width="container", height=260), theme_name)


__all__ = ["attention_scatter", "state_sizes"]
