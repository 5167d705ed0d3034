"""The pictures of what was written: its entropy as it came, as bars and as a curve. Values in, figures out."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import MAX_POINTS, styled
from analysis.drawing.labels import visible
from analysis.drawing.theme import theme
from analysis.results.tokens import TokenTrace, printable
from analysis.token_entropy.measures import window_mean
from analysis.units import Unit, from_nats
from analysis.writing.strips import HIGHEST, written_tokens

if TYPE_CHECKING:
    import altair as alt

    from analysis.writing.results import Writing

_RUNNING = 8
"""Tokens of the running mean."""
_LEAST_ACROSS = 12
"""Tokens that the axis has room for."""


def written_entropy(
    writing: Writing,
    branch: int | None = None,
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
    token: int | None = None,
) -> alt.LayerChart:
    """Entropy before every written token of a branch.

    Parameters
    ----------
    writing : Writing
        A prompt and its branches.
    branch : int, optional
        Whose path; the newest one by default.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    token : int, optional
        A written token to mark, counted from the first.
    """
    tokens = written_tokens(writing.tokens(branch), len(writing.prompt.ids))
    return entropy_bars(tokens, unit=unit, theme_name=theme_name, token=token)


def entropy_bars(
    tokens: TokenTrace, *, unit: Unit = "nats", theme_name: str = "light", token: int | None = None
) -> alt.LayerChart:
    """The same of tokens that are at hand, such as those of a branch that still grows."""
    import altair as alt

    alt.data_transformers.disable_max_rows()
    colours = theme(theme_name)
    frame = entropy_frame(tokens, unit)
    step = -(-len(frame) // MAX_POINTS) or 1
    every = "" if step == 1 else f", 1 of {step} drawn"
    along: dict[str, Any] = {
        "title": f"written token{every}",
        "scale": alt.Scale(domain=_across(len(frame)), nice=False),
        "axis": alt.Axis(grid=False, format="d", tickCount=6),
    }
    up: dict[str, Any] = {
        "title": unit,
        "scale": alt.Scale(domain=[0, _top(frame, unit)], nice=False),
        "axis": alt.Axis(tickCount=3),
    }
    x = alt.X("token:Q", **along)
    hover = [
        alt.Tooltip("word:N", title="token"),
        alt.Tooltip("entropy:Q", format=".4f", title=f"entropy ({unit})"),
        alt.Tooltip("surprisal:Q", format=".4f", title=f"surprisal ({unit})"),
    ]
    drawn = frame.iloc[::step]
    bars = alt.Chart(drawn).transform_calculate(left="datum.token - 0.42", right="datum.token + 0.42")
    amber = colours.pictures["token_entropy"]
    layers: list[Any] = [
        bars.mark_bar(color=amber, opacity=0.75).encode(
            x=alt.X("left:Q", **along),
            x2="right:Q",
            y=alt.Y("entropy:Q", **up),
            y2=alt.datum(0),
            tooltip=hover,
        ),
        alt.Chart(drawn)
        .mark_line(color=colours.ink, strokeWidth=1.5)
        .encode(x=x, y=alt.Y("running:Q", **up)),
    ]
    if token is not None and 0 <= token < len(frame):
        here = alt.Chart(pd.DataFrame({"token": [token]})).mark_rule(color=colours.ink, strokeWidth=1.3)
        layers.append(here.encode(x=x))
    return styled(alt.layer(*layers).properties(width="container", height=130), theme_name)


def entropy_bars_spec(
    tokens: TokenTrace, *, unit: Unit = "nats", theme_name: str = "light", token: int | None = None
) -> dict[str, Any]:
    """The same as a Vega-Lite spec, in a tenth of the time: only the numbers of a known one are exchanged.

    For what is drawn several times a second. Longer texts than :data:`analysis.drawing.charts.MAX_POINTS` are thinned.
    """
    frame = entropy_frame(tokens, unit)
    drawn = frame.iloc[:: -(-len(frame) // MAX_POINTS) or 1]
    spec = deepcopy(_template(unit, theme_name))
    marked = [{"token": token}] if token is not None and 0 <= token < len(frame) else []
    for layer in spec["layer"]:
        encoding, is_rule = layer["encoding"], layer["mark"]["type"] == "rule"
        layer["data"] = {"values": marked if is_rule else _records(drawn)}
        if "scale" in encoding["x"]:
            encoding["x"]["scale"]["domain"] = _across(len(frame))
        if "y" in encoding:
            encoding["y"]["scale"]["domain"] = [0, _top(frame, unit)]
    return spec


@lru_cache(maxsize=8)
def _template(unit: Unit, theme_name: str) -> dict[str, Any]:
    """Spec of one token without its numbers."""
    one = np.zeros(1, np.float32)
    empty = np.zeros(0, np.int32)
    tokens = TokenTrace(
        empty, ("",), empty, empty, empty, empty, empty, (), empty, one, one, one, one, empty, empty, one, {}
    )
    spec = entropy_bars(tokens, unit=unit, theme_name=theme_name, token=0).to_dict()
    del spec["datasets"]
    spec.pop("data", None)
    return spec


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows for JSON, which has no NaN."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _across(n: int) -> list[float]:
    """Ends of the axis of so many tokens; the first few leave room for those to come."""
    return [-0.5, max(n, _LEAST_ACROSS) - 0.5]


def _top(frame: pd.DataFrame, unit: Unit) -> float:
    return max(float(from_nats(HIGHEST, unit)), float(frame["entropy"].max()) if len(frame) else 0.0)


def entropy_frame(tokens: TokenTrace, unit: Unit) -> pd.DataFrame:
    """Table of written tokens: entropy, surprisal, and the mean entropy of the last :data:`_RUNNING` up to each."""
    entropy, surprisal = (from_nats(x.astype(float), unit) for x in (tokens.entropy, tokens.surprisal))
    frame = pd.DataFrame({"entropy": entropy, "surprisal": surprisal})
    frame.insert(0, "token", range(len(frame)))
    means = pd.Series(window_mean(entropy, _RUNNING)).shift(_RUNNING - 1)  # at the last of its tokens
    frame["running"] = means.to_numpy()
    frame["word"] = [visible(printable(text)) for text in tokens.text]
    return frame
