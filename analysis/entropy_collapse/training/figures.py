"""Curves of training runs: entropy and reward over steps, tokens or time. Curves in, charts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.drawing.charts import MAX_POINTS, alt, styled
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.entropy_collapse.training.onset import Onset, smoothed
from analysis.entropy_collapse.training.results import Meaning, TrainingCurve, XAxis
from analysis.errors import AnalysisError
from analysis.units import Unit, from_nats

_Gaps = Literal["break-paths-show-path-domains"]
_GAPS: _Gaps = "break-paths-show-path-domains"
"""Vega-Lite's name for: a line stops at a missing value and starts again behind it."""
_AXIS: dict[Meaning, str] = {
    "per token": "entropy ({unit} per token)",
    "estimator": "entropy ({unit} per token)",
    "per sequence": "entropy ({unit} per answer, summed)",
    "not known": "entropy as logged (unit not known)",
}
_UNITS = {"reward": "reward", "length": "answer length (tokens)", "kl": "KL (nats per token)",
          "gradient norm": "gradient norm", "clipped share": "share of tokens clipped"}  # fmt: skip


def apart(curves: Sequence[TrainingCurve]) -> list[list[TrainingCurve]]:
    """Runs that may share an entropy axis, in the order of the first of each group.

    Means over tokens and sums over answers are different quantities, and so is a column
    that nobody explained; estimates of the mean stand beside means.
    """
    groups: dict[str, list[TrainingCurve]] = {}
    for curve in curves:
        groups.setdefault(_AXIS[curve.meaning], []).append(curve)
    return list(groups.values())


def entropy_title(meaning: Meaning, unit: Unit) -> str:
    """Axis title of a logged entropy: its unit, and what it is a mean or sum over."""
    return _AXIS[meaning].format(unit=unit)


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """One colour a run, by its place among all runs on screen."""
    return {name: OKABE_ITO[k % len(OKABE_ITO)] for k, name in enumerate(names)}


def run_colour(names: Sequence[str], colours: Mapping[str, str]) -> alt.Color:
    """Colour channel of the drawn runs, with a legend if there are several."""
    scale = alt.Scale(domain=list(names), range=[colours[name] for name in names])
    legend = alt.Legend(labelLimit=190, symbolOpacity=1, columns=4) if len(names) > 1 else None
    return alt.Color("run:N", title=None, scale=scale, legend=legend)


def training_chart(
    curves: Sequence[TrainingCurve],
    column: str = "entropy",
    *,
    x: XAxis = "step",
    smoothing: float = 0.6,
    onsets: Mapping[str, Onset] | None = None,
    threshold: float | None = None,
    colours: Mapping[str, str] | None = None,
    height: int = 250,
    unit: Unit = "nats",
    theme_name: str = "light",
) -> alt.LayerChart:
    """One column of several runs: thin lines as logged, thick ones smoothed, diamonds on held-out data.

    Parameters
    ----------
    curves : sequence of TrainingCurve
        With names that differ. Runs without the column or the axis are left out.
    column : str
        A column of :attr:`TrainingCurve.columns`.
    x : {"step", "tokens", "time"}
        Axis.
    smoothing : float
        Weight of the past in the thick line, in [0, 1); 0 draws the logged values alone.
    onsets : mapping of str to Onset, optional
        Where entropy collapsed, by run: a dashed vertical line.
    threshold : float, optional
        Nats; a dotted horizontal line through the entropy, unless it is a sum over answers.
    colours : mapping of str to str, optional
        Colour of each run, where several charts share them.
    height : int
        Pixels, axes included.
    unit : {"nats", "bits"}
        Of the entropy.
    theme_name : {"light", "dark"}
        Colours.

    Raises
    ------
    AnalysisError
        If sums over answers and means over tokens would share the entropy axis (see
        :func:`apart`), or no run has the column over this axis.
    ValueError
        If two runs have the same name.

    Notes
    -----
    Gaps break a line. Beyond :data:`analysis.drawing.charts.MAX_POINTS` rows every so many
    are drawn, each with its own value; the axis title says so.
    """
    alt.data_transformers.disable_max_rows()
    names = [curve.name for curve in curves]
    if len(set(names)) < len(names):
        raise ValueError(f"runs with the same name: {names}")
    drawn = [c for c in curves if c.has(column) and (axis := c.x(x)) is not None and np.isfinite(axis).any()]
    if column == "entropy" and len(apart(drawn)) > 1:
        meanings = ", ".join(f"{c.name}: {c.meaning}" for c in drawn)
        raise AnalysisError(
            f"These entropies do not belong on one axis ({meanings}).", "Draw them in charts of their own."
        )
    if not drawn:
        raise AnalysisError(f"No run has {column} over {x}.", "Choose another column or axis.")
    colours = dict(colours or colours_of(names))
    every = -(-sum(len(c.rows_of(column)) for c in drawn) // MAX_POINTS)
    scale, x_title = _x_scale(drawn, x)
    convert = unit if column == "entropy" and drawn[0].meaning != "not known" else "nats"
    rows = pd.concat(
        [_rows(c, column, x, smoothing, every, scale, convert) for c in drawn], ignore_index=True
    )
    title = entropy_title(drawn[0].meaning, unit) if column == "entropy" else _UNITS.get(column, column)
    thinned = "" if every == 1 else f", every {every} rows"
    base = alt.Chart(rows).encode(
        x=alt.X(
            "x:Q",
            title=f"{x_title}{thinned}",
            axis=alt.Axis(grid=False, format="~s"),
            scale=alt.Scale(zero=False, nice=False),
        ),
        color=run_colour([c.name for c in drawn], colours),
        tooltip=[
            alt.Tooltip("run:N"),
            alt.Tooltip("step:Q", format="~g"),
            alt.Tooltip("value:Q", title=column, format=".4g"),
            alt.Tooltip("smooth:Q", title="smoothed", format=".4g"),
        ],
    )
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=column == "entropy"))
    few = len(rows) <= 600
    thin, faint = (1.0, 0.35) if smoothing else (1.6, 1.0)
    parts: list[Any] = [
        base.mark_line(strokeWidth=thin, opacity=faint, invalid=_GAPS).encode(y=y),
        base.mark_point(filled=True, size=14 if few else 3, opacity=max(faint, 0.45)).encode(y=y),
    ]
    if smoothing:
        parts.append(base.mark_line(strokeWidth=2.2, invalid=_GAPS).encode(y=alt.Y("smooth:Q", title=title)))
    parts += _held_out(base, drawn, column, x, scale, convert)
    parts += _onsets(drawn, onsets or {}, x, scale, colours)
    if threshold is not None and column == "entropy" and drawn[0].meaning != "per sequence":
        level = pd.DataFrame({"value": [from_nats(threshold, convert)]})
        rule = alt.Chart(level).mark_rule(color=theme(theme_name).muted, strokeDash=[1, 3], strokeWidth=1.6)
        parts.append(rule.encode(y=y, tooltip=alt.Tooltip("value:Q", title="threshold", format=".4g")))
    return styled(alt.layer(*parts).properties(width="container", height=height), theme_name)


def _rows(
    curve: TrainingCurve, column: str, x: XAxis, smoothing: float, every: int, scale: float, unit: Unit
) -> pd.DataFrame:
    axis = curve.x(x)
    assert axis is not None
    at = curve.rows_of(column)
    values = from_nats(curve.columns[column][at], unit)
    frame = pd.DataFrame(
        {
            "x": axis[at] / scale,
            "step": curve.step[at],
            "value": values,
            "smooth": smoothed(values, smoothing),
            "run": curve.name,
        }
    )
    return frame[np.isfinite(frame["x"])].iloc[::every]


def _x_scale(curves: Sequence[TrainingCurve], x: XAxis) -> tuple[float, str]:
    """Divisor and title of the axis; time in the unit that suits its length."""
    if x != "time":
        return 1.0, {"step": "training step", "tokens": "tokens processed"}[x]
    longest = max(float(np.nanmax(c.seconds)) for c in curves if c.seconds is not None)
    for seconds, name in ((3600.0, "hours"), (60.0, "minutes")):
        if longest >= 3 * seconds:
            return seconds, f"time ({name})"
    return 1.0, "time (seconds)"


def _held_out(
    base: Any,
    curves: Sequence[TrainingCurve],
    column: str,
    x: XAxis,
    scale: float,
    unit: Unit,
) -> list[Any]:
    """Diamonds for the evaluation rows, at the place of the training row of the same step."""
    frames = []
    for curve in curves:
        held = curve.evaluation
        axis = curve.x(x)
        if held is None or not held.has(column) or axis is None:
            continue
        at = held.rows_of(column)
        step = held.step[at]
        place = step if x == "step" else np.interp(step, curve.step, axis, left=np.nan, right=np.nan)
        value = from_nats(held.columns[column][at], unit)
        frames.append(pd.DataFrame({"x": place / scale, "step": step, "value": value, "run": curve.name}))
    if not frames:
        return []
    data = pd.concat(frames, ignore_index=True)
    data = data[np.isfinite(data["x"]) & np.isfinite(data["value"])].assign(smooth=np.nan)
    marks = base.mark_point(shape="diamond", size=70, strokeWidth=1.8, filled=False, opacity=1)
    return [marks.properties(data=data).encode(y=alt.Y("value:Q"))]


def _onsets(
    curves: Sequence[TrainingCurve],
    onsets: Mapping[str, Onset],
    x: XAxis,
    scale: float,
    colours: Mapping[str, str],
) -> list[Any]:
    parts = []
    for curve in curves:
        found, axis = onsets.get(curve.name), curve.x(x)
        if found is None or found.step is None or axis is None:
            continue
        place = float(axis[int(np.searchsorted(curve.step, found.step))]) / scale
        mark = pd.DataFrame({"x": [place], "what": [f"{curve.name}: {found.which}"]})
        rule = alt.Chart(mark).mark_rule(color=colours[curve.name], strokeDash=[3, 3], strokeWidth=1.4)
        parts.append(rule.encode(x="x:Q", tooltip=alt.Tooltip("what:N", title="onset")))
    return parts
