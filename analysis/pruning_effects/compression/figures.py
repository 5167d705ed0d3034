"""The pictures of prompt compression. Results in, figures out; no model, no torch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.strip import Strip
from analysis.drawing.strip_figure import StripFigure, strip_figure
from analysis.drawing.theme import OKABE_ITO, amount_ramp, theme
from analysis.pruning_effects.compression.results import BOTTOM, METHODS, Compressed, CompressionSweep
from analysis.units import Unit, from_nats

_SCORERS = {
    "self-information": OKABE_ITO[0],
    "selective-context": OKABE_ITO[4],
    "llmlingua": OKABE_ITO[2],
    "longllmlingua": OKABE_ITO[5],
    "gradient": OKABE_ITO[3],
    "attention": OKABE_ITO[1],
    "reagent": OKABE_ITO[6],
}
_RANDOM = OKABE_ITO[7]
_DASHES = {"random": [1, 0], "first": [8, 3], "last": [3, 3], "every nth": [1, 3], "stop words": [6, 2, 1, 2]}
_BOTTOM_DASH = [2, 2]
_BAND = 0.22
KEPT, DROPPED = "kept", "left out"
"""Classes of the strip, in the order of their numbers 1 and 0."""


def method_colour(method: str, theme_name: str = "light") -> str:
    """Colour of a method on every chart.

    Parameters
    ----------
    method : str
        One of :data:`~.results.METHODS`. "bottom" methods have the scorer's.
    theme_name : {"light", "dark"}
        LLMLingua-2 is drawn in the theme's ink and controls in its muted tone, random grey.
    """
    name = method.removeprefix(BOTTOM)
    if name == "random":
        return _RANDOM
    return _SCORERS.get(name) or (theme(theme_name).ink if name == "llmlingua-2" else theme(theme_name).muted)


def _dash(method: str) -> list[int]:
    return _BOTTOM_DASH if method.startswith(BOTTOM) else _DASHES.get(method, [1, 0])


def compression_frame(sweep: CompressionSweep, unit: Unit = "nats") -> pd.DataFrame:
    """One row per method and asked share, seeds together.

    Parameters
    ----------
    sweep : CompressionSweep
        What was measured.
    unit : {"nats", "bits"}
        Unit of information.

    Returns
    -------
    pandas.DataFrame
        ``method``, ``kept``, ``share`` (mean share of tokens really kept), ``n_tokens`` (mean),
        ``mean``, ``low`` and ``high`` (of the change of NLL over seeds, in ``unit`` per answer
        token) and ``runs``.
    """
    frame = sweep.to_frame()
    frame = frame[frame["method"].isin(METHODS)]
    frame = frame.assign(delta_nll=from_nats(frame["delta_nll"], unit))
    grouped = frame.groupby(["method", "kept"], sort=False)
    return grouped.agg(
        share=("share", "mean"),
        n_tokens=("n_tokens", "mean"),
        mean=("delta_nll", "mean"),
        low=("delta_nll", "min"),
        high=("delta_nll", "max"),
        runs=("seed", "count"),
    ).reset_index()


def compression_curves(
    sweep: CompressionSweep, *, unit: Unit = "nats", theme_name: str = "light"
) -> alt.LayerChart:
    """Change of the answer's NLL against the share of tokens kept, one line per method.

    Parameters
    ----------
    sweep : CompressionSweep
        What was measured, finished or not.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.

    Notes
    -----
    Points lie at the share of tokens the shorter text really has. Methods with a random part
    are drawn as the mean of their seeds, random with a band from the least to the most. The upper dotted
    line is the question without any context, the one at 0 the whole context; nothing is clipped.
    """
    colours = theme(theme_name)
    data = compression_frame(sweep, unit)
    names = [name for name in METHODS if name in set(data["method"])]
    scale = alt.Scale(domain=names, range=[method_colour(name, theme_name) for name in names])
    dashes = alt.Scale(domain=names, range=[_dash(name) for name in names])
    x = alt.X(
        "share:Q",
        title="share of the context's tokens kept",
        axis=alt.Axis(format=".0%", tickCount=6, labelOverlap="greedy"),
        scale=alt.Scale(domainMin=0),
    )
    y_title = f"change of NLL ({unit} per token)"
    legend = alt.Legend(columns=4, symbolType="stroke", symbolSize=260, symbolStrokeWidth=2, symbolOpacity=1)
    colour = alt.Color("method:N", title=None, scale=scale, legend=legend)
    bands = data[data["method"] == "random"]
    band = (
        alt.Chart(bands)
        .mark_area(opacity=_BAND, color=_RANDOM)
        .encode(x=x, y=alt.Y("low:Q", title=y_title), y2="high:Q")
    )
    lines = (
        alt.Chart(data)
        .mark_line(strokeWidth=1.8, point=alt.OverlayMarkDef(size=34, filled=True))
        .encode(
            x=x,
            y=alt.Y("mean:Q", title=y_title),
            color=colour,
            strokeDash=alt.StrokeDash("method:N", title=None, scale=dashes, legend=legend),
            tooltip=[
                alt.Tooltip("method:N"),
                alt.Tooltip("share:Q", title="share kept", format=".1%"),
                alt.Tooltip("n_tokens:Q", title="tokens kept", format=".4~g"),
                alt.Tooltip("mean:Q", title=f"change of NLL ({unit})", format="+.4f"),
                alt.Tooltip("low:Q", title="least over seeds", format="+.4f"),
                alt.Tooltip("high:Q", title="most over seeds", format="+.4f"),
            ],
        )
    )
    without = float(from_nats(sweep.nll_without - sweep.nll_full, unit))
    marks = pd.DataFrame({"mean": [0.0, without], "what": ["the whole context", "no context at all"]})
    rules = (
        alt.Chart(marks)
        .mark_rule(color=colours.muted, strokeDash=[1, 3])
        .encode(y="mean:Q", tooltip=[alt.Tooltip("what:N", title="here")])
    )
    return styled(alt.layer(rules, band, lines).properties(width="container", height=340), theme_name)


def kept_strip(compressed: Compressed) -> Strip:
    """The original text with the kept tokens coloured, in their place.

    Parameters
    ----------
    compressed : Compressed
        Text, mask and scores.

    Returns
    -------
    Strip
        Two classes; the hover gives the method's score.
    """
    scores, name = compressed.scores, compressed.score_name
    details = tuple(
        "" if not name else f"no score ({name})" if np.isnan(value) else f"score {value:.4g} ({name})"
        for value in scores.tolist()
    )
    return Strip(
        title=f"What {compressed.method} keeps",
        unit="",
        values=compressed.keep.astype(np.float32),
        cell=compressed.cell,
        cell_text=compressed.cell_text,
        flags=np.zeros(len(compressed.keep), np.uint8),
        low=0.0,
        high=1.0,
        light=amount_ramp("pruning_effects", "light"),
        dark=amount_ramp("pruning_effects", "dark"),
        buckets=(DROPPED, KEPT),
        details=details if name else (),
    )


def compression_strip(compressed: Compressed, *, theme_name: str = "light") -> StripFigure:
    """The original text with the kept tokens coloured, as HTML for a notebook or a file.

    Parameters
    ----------
    compressed : Compressed
        Text and mask.
    theme_name : {"light", "dark"}
        Colours.
    """
    caption = f"{compressed.method} · {compressed.n_tokens} of {compressed.n_original} tokens · unit: {compressed.unit}"
    return strip_figure(kept_strip(compressed), theme_name=theme_name, caption=caption)
