"""Curves of the lab over training steps. Runs in, figures out; no model, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.entropy_collapse.labs.four_squares.interventions import RESCALED
from analysis.entropy_collapse.labs.four_squares.results import EVALUATION_ARRAYS, IN_NATS, LabRun
from analysis.units import Unit, from_nats

_GREY = OKABE_ITO[7]
_DASHES = ([1, 0], [6, 3])
_OTHERS = [name for name in RESCALED if name != "none"]
COLOURS = {"none": _GREY} | {name: OKABE_ITO[at % 7] for at, name in enumerate(_OTHERS)}
"""Colour of each intervention, the same on every chart; the baseline is grey."""
DASHES = {"none": _DASHES[0]} | {name: _DASHES[at // 7] for at, name in enumerate(_OTHERS)}
"""Dash of each intervention: two share a colour, one of them is dashed."""

WHO = ("intervention:N", "seed:N")
"""Tooltip entries that tell which run it is."""

Quantity = Literal[
    "entropy",
    "forks",
    "followers",
    "reward",
    "pass@k",
    "held-out pass@1",
    "held-out pass@k",
    "distinct",
    "validity",
    "top share",
    "covariance",
    "answer entropy",
]


@dataclass(frozen=True)
class _Curve:
    """How a quantity is drawn: its array in a run, and what the axis says."""

    array: str
    title: str
    raw: str = ""
    """Array of single steps, drawn as faint points under evaluations."""


_CURVES: dict[str, _Curve] = {
    "entropy": _Curve("entropy", "policy entropy, {unit} per token"),
    "forks": _Curve("fork_entropy", "entropy at forks, {unit}"),
    "followers": _Curve("follower_entropy", "entropy at followers, {unit}"),
    "reward": _Curve("pass_1", "reward: share right", raw="reward"),
    "pass@k": _Curve("pass_k", "pass@{k}"),
    "held-out pass@1": _Curve("held_pass_1", "held-out numbers: share right"),
    "held-out pass@k": _Curve("held_pass_k", "held-out numbers: pass@{k}"),
    "distinct": _Curve("distinct", "right answers, different"),
    "validity": _Curve("validity", "share of true steps"),
    "top share": _Curve("top_share", "entropy in the top 20 %, share"),
    "covariance": _Curve("covariance", "Cov(log-probability, advantage), {unit}"),
    "answer entropy": _Curve("answer_entropy", "entropy of the answer, {unit} (plain, n = {answers})"),
}


def lab_curve(
    runs: Sequence[LabRun],
    quantity: Quantity,
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
) -> Any:
    """One quantity over training steps, one line per run.

    Parameters
    ----------
    runs : sequence of LabRun
        Finished or not; colour and dash tell the intervention.
    quantity : str
        "entropy", "forks" and "followers" are means over the answers written at a step; "reward",
        "pass@k", "distinct", "answer entropy" and the held-out ones come from evaluations of all
        numbers (faint points: the reward of single steps).
    unit : {"nats", "bits"}
        Unit of entropies.
    theme_name : {"light", "dark"}
        Colours.

    Returns
    -------
    altair.LayerChart
    """
    return styled(
        _panel(runs, quantity, unit, theme_name).properties(width="container", height=220), theme_name
    )


def lab_curves(
    runs: Sequence[LabRun],
    quantities: Sequence[Quantity],
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
) -> Any:
    """Several quantities next to each other in one figure, as :func:`lab_curve` draws them."""
    panels = [
        _panel(runs, quantity, unit, theme_name).properties(width=380, height=220) for quantity in quantities
    ]
    return styled(alt.hconcat(*panels), theme_name)


def _panel(runs: Sequence[LabRun], quantity: Quantity, unit: Unit, theme_name: str) -> Any:
    curve, settings = _CURVES[quantity], runs[0].settings
    title = curve.title.format(unit=unit, k=settings.k, answers=settings.answers)
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=True))
    x = alt.X("step:Q", title="training step", axis=alt.Axis(grid=False, tickMinStep=1))
    shown: list[Any] = [*WHO, "step:Q", alt.Tooltip("value:Q", title=title, format=".4g")]
    base = alt.Chart(curve_frame(runs, curve.array, unit)).encode(
        x=x, y=y, color=colour(runs, theme_name), detail="run:N", tooltip=shown
    )
    points = {"size": 18} if curve.raw or len(runs[0].evaluated) == 1 else False
    layers = [base.mark_line(strokeWidth=1.8, point=points).encode(strokeDash=dash(runs))]
    if curve.raw:
        faint = alt.Chart(curve_frame(runs, curve.raw, unit)).mark_point(size=9, filled=True, opacity=0.3)
        layers.insert(0, faint.encode(x=x, y=y, color=colour(runs, theme_name), tooltip=shown))
    return alt.layer(*layers)


def curve_frame(runs: Sequence[LabRun], array: str, unit: Unit = "nats") -> pd.DataFrame:
    """One array of several runs, one row per run and step or evaluation.

    Returns
    -------
    pandas.DataFrame
        ``run`` (id), ``intervention`` (short name), ``seed``, ``step``, ``value``.
    """
    parts = []
    for run in runs:
        values = getattr(run, array)
        step = run.evaluated if array in EVALUATION_ARRAYS else np.arange(len(values))
        parts.append(run_frame(run, step=step, value=from_nats(values, unit, power=IN_NATS[array])))
    return pd.concat(parts, ignore_index=True)


def run_frame(run: LabRun, **columns: Any) -> pd.DataFrame:
    """Columns of one run, beside what tells which run it is: ``run`` (id), ``intervention``, ``seed``."""
    settings = run.settings
    who = {"run": settings.key, "intervention": settings.intervention.name, "seed": settings.seed}
    return pd.DataFrame(who | columns)


def names_of(runs: Sequence[LabRun]) -> list[str]:
    """Interventions among the runs, in their usual order."""
    present = {run.settings.intervention.name for run in runs}
    return [name for name in COLOURS if name in present]


def colour(runs: Sequence[LabRun], theme_name: str) -> Any:
    """Colour channel: one fixed colour per intervention."""
    names, ink = names_of(runs), theme(theme_name).muted
    colours = [ink if name == "none" else COLOURS[name] for name in names]
    scale = alt.Scale(domain=names, range=colours)
    legend = alt.Legend(orient="top", symbolOpacity=1)  # also where the points are faint
    return alt.Color("intervention:N", title=None, scale=scale, legend=legend)


def dash(runs: Sequence[LabRun]) -> Any:
    """Dash channel: tells the two interventions of a colour apart."""
    names = names_of(runs)
    scale = alt.Scale(domain=names, range=[DASHES[name] for name in names])
    return alt.StrokeDash("intervention:N", title=None, scale=scale)
