"""The pictures of broken sinks and of streaming. Tables in, figures out; no model, no torch."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from analysis.drawing.charts import MAX_POINTS, alt, styled
from analysis.drawing.labels import visible
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.units import Unit, from_nats

_COLOURS = {"full attention": OKABE_ITO[0], "window only": OKABE_ITO[5], "sinks + window": OKABE_ITO[2]}
_DASHES = {"full attention": [1, 0], "window only": [2, 2], "sinks + window": [6, 3]}


def streaming_figure(
    frame: pd.DataFrame,
    quantity: Literal["running", "so far"] = "running",
    *,
    window: int | None = None,
    theme_name: str = "light",
) -> alt.LayerChart:
    """Perplexity along the text, one line per policy, on a logarithmic axis.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``StreamingResult.to_frame()``.
    quantity : {"running", "so far"}
        Perplexity of the last tokens (of the running mean), or of the text up to here.
    window : int, optional
        Where to mark the last token whose prediction saw everything.
    theme_name : {"light", "dark"}
        Colours.

    Notes
    -----
    Beyond :data:`analysis.drawing.charts.MAX_POINTS` marks only every so many tokens are
    drawn, each with its own value; the axis title says so.
    """
    alt.data_transformers.disable_max_rows()
    colours = theme(theme_name)
    step = -(-len(frame) // MAX_POINTS)
    last = frame["position"].max()
    data = frame[((frame["position"] - 1) % step == 0) | (frame["position"] == last)].copy()
    data["drawn"] = np.exp(data["running_mean"]) if quantity == "running" else data["perplexity"]
    names = [name for name in _COLOURS if name in set(frame["policy"])]
    title = "perplexity of the last tokens" if quantity == "running" else "perplexity so far"
    every = "" if step == 1 else f", every {step} tokens"
    x = alt.X("position:Q", title=f"token{every}", axis=alt.Axis(grid=False, tickMinStep=1))
    lines = (
        alt.Chart(data)
        .mark_line(strokeWidth=1.8)
        .encode(
            x=x,
            y=alt.Y("drawn:Q", title=title, scale=alt.Scale(type="log")),
            color=alt.Color(
                "policy:N", title=None, scale=alt.Scale(domain=names, range=[_COLOURS[n] for n in names])
            ),
            strokeDash=alt.StrokeDash(
                "policy:N", title=None, scale=alt.Scale(domain=names, range=[_DASHES[n] for n in names])
            ),
            tooltip=[
                alt.Tooltip("position:Q", title="token"),
                alt.Tooltip("policy:N"),
                alt.Tooltip("drawn:Q", title=title, format=".4g"),
                alt.Tooltip("surprisal:Q", title="surprisal (nats)", format=".4f"),
            ],
        )
    )
    parts = [lines]
    if window is not None:
        mark = pd.DataFrame({"position": [window], "what": [f"window of {window} is full"]})
        rule = alt.Chart(mark).mark_rule(color=colours.muted, strokeDash=[2, 3])
        parts.append(rule.encode(x="position:Q", tooltip=alt.Tooltip("what:N", title="here")))
    return styled(alt.layer(*parts).properties(width="container", height=300), theme_name)


def surprisal_change_figure(
    frame: pd.DataFrame, *, unit: Unit = "nats", theme_name: str = "light"
) -> alt.LayerChart:
    """Change of surprisal along the text: orange bars up where it rose, blue bars down where it fell.

    Parameters
    ----------
    frame : pandas.DataFrame
        From :func:`analysis.surprisal_change`. Rows without a change are left out.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.

    Notes
    -----
    Texts beyond :data:`analysis.drawing.charts.MAX_POINTS` rows are averaged over equal
    stretches; the axis title says over how many.
    """
    alt.data_transformers.disable_max_rows()
    colours = theme(theme_name)
    data = frame[frame["change"].notna()].reset_index(drop=True)
    step = max(1, -(-len(data) // MAX_POINTS))
    columns = ["surprisal_before", "surprisal_after", "change"]
    data = data.assign(
        token=[visible(token) for token in data["token"]],
        **{name: from_nats(data[name].to_numpy(float), unit) for name in columns},
    )
    if step > 1:
        grouped = data.groupby(np.arange(len(data)) // step)
        data = (
            grouped[columns]
            .mean()
            .assign(position=grouped["position"].first(), token=f"mean of {step} stretches")
        )
    names = ["more surprised", "less surprised"]
    data["side"] = np.where(data["change"] >= 0, names[0], names[1])
    per_bar = "" if step == 1 else f", mean of {step}"
    base = alt.Chart(data).encode(
        x=alt.X("position:Q", title=f"token{per_bar}", axis=alt.Axis(grid=False, tickMinStep=1))
    )
    bars = base.mark_rule(strokeWidth=max(1.0, min(6.0, 600 / max(len(data), 1)))).encode(
        y=alt.Y("change:Q", title=f"change of surprisal ({unit})"),
        y2=alt.Y2Datum(0),
        color=alt.Color(
            "side:N", title=None, scale=alt.Scale(domain=names, range=[colours.positive, colours.negative])
        ),
        tooltip=[
            alt.Tooltip("position:Q", title="token"),
            alt.Tooltip("token:N", title="text"),
            alt.Tooltip("change:Q", title=f"change ({unit})", format="+.4f"),
            alt.Tooltip("surprisal_before:Q", title=f"before ({unit})", format=".4f"),
            alt.Tooltip("surprisal_after:Q", title=f"after ({unit})", format=".4f"),
        ],
    )
    zero = (
        alt.Chart(pd.DataFrame({"zero": [0.0]}))
        .mark_rule(color=colours.muted, strokeWidth=1)
        .encode(y="zero:Q")
    )
    return styled(alt.layer(zero, bars).properties(width="container", height=240), theme_name)


__all__ = ["streaming_figure", "surprisal_change_figure"]
