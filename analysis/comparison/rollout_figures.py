"""Pictures of trainer against engine: importance ratios, mismatch against entropy, and whole sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.comparison.rollouts import CAP, RolloutMismatch
from analysis.drawing.charts import MAX_POINTS, styled
from analysis.drawing.decades import decades
from analysis.drawing.labels import visible
from analysis.drawing.theme import theme
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    import altair as alt

SMALLEST = 1e-6
"""Nats: what is smaller is drawn here, for a logarithmic axis has no 0."""


def rollout_ratios(
    mismatch: RolloutMismatch, *, unit: Unit = "nats", theme_name: str = "light"
) -> alt.LayerChart:
    """How many tokens have which log-ratio, with rules where engine and model agree and where ratios are truncated.

    Parameters
    ----------
    mismatch : RolloutMismatch
        From :func:`analysis.compare_rollouts`.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    """
    import altair as alt

    colours = theme(theme_name)
    values = from_nats(mismatch.log_ratio, unit)
    reach = max(float(np.abs(values).max()), SMALLEST)
    counts, edges = np.histogram(values, bins=41, range=(-reach, reach))
    frame = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "tokens": counts})
    hover = [
        alt.Tooltip("low:Q", format=".3g", title=f"from ({unit})"),
        alt.Tooltip("high:Q", format=".3g", title=f"to ({unit})"),
        alt.Tooltip("tokens:Q"),
    ]
    bars = (
        alt.Chart(frame[frame["tokens"] > 0])
        .mark_bar(color=colours.pictures["token_entropy"], opacity=0.8)
        .encode(
            x=alt.X("low:Q", title=f"ln of model over engine ({unit})", bin="binned"),
            x2="high:Q",
            y=alt.Y("tokens:Q", title="tokens (root scale)", scale=alt.Scale(type="sqrt")),
            tooltip=hover,
        )
    )
    cap = float(from_nats(float(np.log(CAP)), unit))
    shown = [0.0, *([cap] if cap <= reach else [])]
    rules = pd.DataFrame({"at": shown, "dash": ["agree", "truncated"][: len(shown)]})
    marks = (
        alt.Chart(rules)
        .mark_rule(color=colours.ink, strokeWidth=1.3)
        .encode(
            x="at:Q",
            strokeDash=alt.StrokeDash(
                "dash:N",
                title=None,
                legend=None,
                scale=alt.Scale(domain=["agree", "truncated"], range=[[1, 0], [5, 3]]),
            ),
            tooltip=[alt.Tooltip("dash:N", title="rule"), alt.Tooltip("at:Q", format=".3g", title=unit)],
        )
    )
    return styled(alt.layer(bars, marks).properties(height=180, width="container"), theme_name)


def rollout_entropy(
    mismatch: RolloutMismatch, *, unit: Unit = "nats", theme_name: str = "light", n_bins: int = 8
) -> alt.LayerChart:
    """Size of every token's log-ratio against the model's entropy before it, and means of bins of equally many tokens.

    Parameters
    ----------
    mismatch : RolloutMismatch
        From :func:`analysis.compare_rollouts`.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    n_bins : int, default 8
        Bins.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    colours = theme(theme_name)
    size = np.abs(mismatch.log_ratio)
    frame = pd.DataFrame(
        {
            "entropy": from_nats(mismatch.entropy, unit),
            "size": from_nats(np.maximum(size, SMALLEST), unit),
            "exact": from_nats(mismatch.log_ratio, unit),
            "token": [visible(text) for text in mismatch.text],
            "sequence": mismatch.sequence,
            "position": mismatch.position,
        }
    )
    step = -(-len(frame) // MAX_POINTS)
    every = "" if step == 1 else f" (1 of {step} tokens drawn)"
    bins = mismatch.by_entropy(n_bins, unit).rename(
        columns={f"entropy_{unit}": "entropy", f"absolute_log_ratio_{unit}": "mean"}
    )
    bins["size"] = np.maximum(bins["mean"], from_nats(SMALLEST, unit))
    low, high = float(frame["size"].min()), float(frame["size"].max())
    x = alt.X("entropy:Q", title=f"model's entropy before the token ({unit}){every}")
    y = alt.Y(
        "size:Q",
        title=f"size of the log-ratio ({unit})",
        scale=alt.Scale(type="log"),
        axis=alt.Axis(**decades(low, high)),
    )
    hover = [
        alt.Tooltip("token:N"),
        alt.Tooltip("sequence:Q"),
        alt.Tooltip("position:Q"),
        alt.Tooltip("entropy:Q", format=".4f", title=f"entropy ({unit})"),
        alt.Tooltip("exact:Q", format=".3g", title=f"log-ratio ({unit})"),
    ]
    mean = [
        alt.Tooltip("mean:Q", format=".3g", title=f"mean of the bin ({unit})"),
        alt.Tooltip("n_tokens:Q", title="tokens"),
    ]
    dots = alt.Chart(frame.iloc[::step]).mark_point(filled=True, size=22, opacity=0.5)
    line: Any = alt.Chart(bins).mark_line(
        color=colours.ink, strokeWidth=1.5, point={"color": colours.ink, "size": 50}
    )
    layers = [
        dots.encode(x=x, y=y, color=alt.value(colours.pictures["token_entropy"]), tooltip=hover),
        line.encode(x=x, y=y, tooltip=mean),
    ]
    return styled(alt.layer(*layers).properties(height=240, width="container"), theme_name)


def rollout_sequences(
    mismatch: RolloutMismatch, *, unit: Unit = "nats", theme_name: str = "light"
) -> alt.LayerChart:
    """Log-ratio of every whole sequence, the sum over its tokens, against its length.

    Parameters
    ----------
    mismatch : RolloutMismatch
        From :func:`analysis.compare_rollouts`.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    colours = theme(theme_name)
    frame = mismatch.by_sequence(unit).rename(columns={f"log_ratio_{unit}": "sum", f"k3_{unit}": "k3"})
    step = -(-len(frame) // MAX_POINTS)
    every = "" if step == 1 else f" (1 of {step} sequences drawn)"
    hover = [
        alt.Tooltip("sequence:Q"),
        alt.Tooltip("n_tokens:Q", title="tokens"),
        alt.Tooltip("sum:Q", format=".4g", title=f"log-ratio ({unit})"),
        alt.Tooltip("k3:Q", format=".3g", title=f"mean k3 ({unit})"),
    ]
    dots = (
        alt.Chart(frame.iloc[::step])
        .mark_point(filled=True, size=60, opacity=0.75, color=colours.pictures["token_entropy"])
        .encode(
            x=alt.X("n_tokens:Q", title=f"tokens of the sequence{every}", scale=alt.Scale(zero=False)),
            y=alt.Y("sum:Q", title=f"log-ratio of the sequence ({unit})"),
            tooltip=hover,
        )
    )
    zero = alt.Chart(pd.DataFrame({"sum": [0.0]})).mark_rule(color=colours.muted, strokeDash=[4, 4])
    return styled(
        alt.layer(zero.encode(y="sum:Q"), dots).properties(height=200, width="container"), theme_name
    )
