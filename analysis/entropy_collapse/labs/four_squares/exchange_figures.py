"""Entropy against what it buys and what was predicted. Runs in, figures out; no model, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import theme
from analysis.entropy_collapse.labs.four_squares.figures import WHO, colour, curve_frame, dash, run_frame
from analysis.entropy_collapse.labs.four_squares.results import LabRun, correlation
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    from analysis.entropy_collapse.training.law import LawFit


def reward_against_entropy(
    runs: Sequence[LabRun],
    fits: Mapping[str, LawFit] | None = None,
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
) -> Any:
    """Reward against entropy, a point per training step, with the law where it was fitted.

    Parameters
    ----------
    runs : sequence of LabRun
    fits : mapping of str to LawFit, optional
        By the key of a run's settings; drawn over the entropies the run went through.
    unit : {"nats", "bits"}
        Unit of the entropy axis.
    theme_name : {"light", "dark"}
        Colours.
    """
    points = pd.concat(
        run_frame(
            run, step=np.arange(len(run.reward)), entropy=from_nats(run.entropy, unit), reward=run.reward
        )
        for run in runs
    )
    x = alt.X("entropy:Q", title=f"policy entropy, {unit} per token", axis=alt.Axis(grid=False))
    y = alt.Y("reward:Q", title="reward: share right")
    tooltip = [*WHO, "step:Q", alt.Tooltip("entropy:Q", format=".4f"), alt.Tooltip("reward:Q", format=".3f")]
    layers = [
        alt.Chart(points)
        .mark_point(size=16, filled=True, opacity=0.55)
        .encode(x=x, y=y, color=colour(runs, theme_name), tooltip=tooltip)
    ]
    curves = [
        _law_frame(run, fits[run.settings.key], unit) for run in runs if fits and run.settings.key in fits
    ]
    if curves:
        line = alt.Chart(pd.concat(curves)).mark_line(strokeWidth=1.6)
        layers.append(
            line.encode(
                x=x,
                y=y,
                color=colour(runs, theme_name),
                strokeDash=dash(runs),
                detail="run:N",
                tooltip=[*WHO, "law:N"],
            )
        )
    return styled(alt.layer(*layers).properties(width="container", height=250), theme_name)


def _law_frame(run: LabRun, fit: LawFit, unit: Unit) -> pd.DataFrame:
    """The fitted law over the entropies a run went through."""
    entropy = np.linspace(run.entropy.min(), run.entropy.max(), 60)
    law = f"R = −{fit.a:.3f} exp(H) + {fit.b:.3f}, R² {fit.r2:.2f}"
    return run_frame(run, entropy=from_nats(entropy, unit), reward=fit.predict(entropy), law=law)


def change_scatter(
    runs: Sequence[LabRun],
    by: Literal["exact", "covariance"] = "exact",
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
) -> Any:
    """Predicted against actual change of entropy, a point per step.

    Parameters
    ----------
    runs : sequence of LabRun
    by : {"exact", "covariance"}
        Predicted by the exact softmax term, or by the covariance. Both are for plain gradient
        steps on a table of logits; Adam and shared weights change the size, so the axes
        have their own scales and only sign and order can be compared.
    unit : {"nats", "bits"}
        Unit of both axes.
    theme_name : {"light", "dark"}
        Colours.
    """
    return styled(_scatter(runs, by, unit, theme_name).properties(width="container", height=250), theme_name)


def change_scatters(runs: Sequence[LabRun], *, unit: Unit = "nats", theme_name: str = "light") -> Any:
    """Both predictions next to each other, as :func:`change_scatter` draws them."""
    panels = [
        _scatter(runs, by, unit, theme_name).properties(width=380, height=250)
        for by in ("exact", "covariance")
    ]
    return styled(alt.hconcat(*panels), theme_name)


def _scatter(runs: Sequence[LabRun], by: Literal["exact", "covariance"], unit: Unit, theme_name: str) -> Any:
    colours = theme(theme_name)
    frame = pd.concat(_changes(run, by, unit) for run in runs)
    name = "exact term" if by == "exact" else "covariance"
    points = (
        alt.Chart(frame)
        .mark_point(size=16, filled=True, opacity=0.55)
        .encode(
            x=alt.X(
                "predicted:Q",
                title=f"predicted by the {name}, {unit}",
                axis=alt.Axis(format="~e", tickCount=5),
            ),
            y=alt.Y("actual:Q", title=f"actual change, {unit} per token"),
            color=colour(runs, theme_name),
            tooltip=[
                *WHO,
                "step:Q",
                alt.Tooltip("predicted:Q", format=".3g"),
                alt.Tooltip("actual:Q", format=".3g"),
                alt.Tooltip("correlation:Q", title="correlation of the run", format=".2f"),
            ],
        )
    )
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=colours.muted, strokeDash=[2, 3])
    return alt.layer(zero.encode(y="zero:Q"), zero.encode(x="zero:Q"), points)


def _changes(run: LabRun, by: Literal["exact", "covariance"], unit: Unit) -> pd.DataFrame:
    predicted = run.exact_prediction if by == "exact" else run.covariance_prediction
    return run_frame(
        run,
        step=np.arange(len(run.change)),
        predicted=from_nats(predicted, unit),
        actual=from_nats(run.change, unit),
        correlation=correlation(predicted, run.change),
    )


def entropy_path(runs: Sequence[LabRun], *, unit: Unit = "nats", theme_name: str = "light") -> Any:
    """Token entropy against answer entropy, a point per evaluation joined in the order of steps.

    Parameters
    ----------
    runs : sequence of LabRun
    unit : {"nats", "bits"}
        Unit of both axes.
    theme_name : {"light", "dark"}
        Colours.
    """
    tokens = curve_frame(runs, "token_entropy", unit)
    frame = tokens.rename(columns={"value": "token"}).assign(
        answer=curve_frame(runs, "answer_entropy", unit)["value"],
        corrected=curve_frame(runs, "answer_entropy_corrected", unit)["value"],
    )
    n = runs[0].settings.answers
    path = (
        alt.Chart(frame)
        .mark_line(point={"size": 20}, strokeWidth=1.4)
        .encode(
            x=alt.X("token:Q", title=f"token entropy, {unit} per token", axis=alt.Axis(grid=False)),
            y=alt.Y("answer:Q", title=f"answer entropy, {unit} (n = {n})"),
            color=colour(runs, theme_name),
            strokeDash=dash(runs),
            detail="run:N",
            order="step:Q",
            tooltip=[
                *WHO,
                "step:Q",
                alt.Tooltip("token:Q", format=".4f"),
                alt.Tooltip("answer:Q", title="answer, plain", format=".3f"),
                alt.Tooltip("corrected:Q", title="answer, Miller-Madow", format=".3f"),
            ],
        )
        .properties(width="container", height=220)
    )
    return styled(path, theme_name)
