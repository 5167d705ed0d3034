"""Reward against entropy: the law through its points, and what entropy was spent on. Results in, charts out."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import MAX_POINTS, alt, styled
from analysis.drawing.theme import OKABE_ITO, amount_ramp, rgb_to_hex, theme
from analysis.entropy_collapse.training.figures import colours_of, entropy_title, run_colour
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    from analysis.entropy_collapse.training.law import LawFit, Prediction
    from analysis.entropy_collapse.training.onset import Spent
    from analysis.entropy_collapse.training.results import TrainingCurve

_GRID = 120
_BEYOND = 0.15
"""How far past the highest entropy the dashed continuation goes, as a share of the range."""


def law_chart(
    fit: LawFit,
    prediction: Prediction | None = None,
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
) -> alt.LayerChart:
    """Every step as a point, the law with its 95 % band, and the straight line beside it.

    Parameters
    ----------
    fit : LawFit
        From :func:`analysis.entropy_collapse.training.law.fit_law`.
    prediction : Prediction, optional
        The law of the first part of the run alone.
    unit : {"nats", "bits"}
        Of the entropy axis; the law itself is in nats.
    theme_name : {"light", "dark"}
        Colours.

    Notes
    -----
    Solid where there are points, dashed beyond them, down to no entropy at all: there the
    ceiling ``b - a`` stands with its interval. Points darken along the run. The reward is the
    log's; in the paper that states the law it is downstream performance.
    """
    alt.data_transformers.disable_max_rows()
    colours = theme(theme_name)
    h = fit.entropy
    title = entropy_title("per token", unit)
    dots, x, y = _points(h, fit.reward, title, unit, theme_name)
    grid = np.linspace(min(0.0, h.min()), h.max() + _BEYOND * np.ptp(h), _GRID)
    low, high = fit.band(grid)
    band = pd.DataFrame({"x": from_nats(grid, unit), "low": low, "high": high})
    area = (
        alt.Chart(band)
        .mark_area(color=colours.pictures["entropy_collapse"], opacity=0.16)
        .encode(x=x, y=alt.Y("low:Q", title="reward", scale=alt.Scale(zero=False)), y2="high:Q")
    )
    seen = (float(h.min()), float(h.max()))
    shapes = [
        ("law", colours.ink, fit.predict(grid), seen),
        ("straight line", colours.muted, fit.predict_line(grid), seen),
    ]
    if prediction is not None:
        own, first = prediction.b - prediction.a * np.exp(grid), h[: prediction.n_fit]
        name = f"law of the first {prediction.share:.0%}"
        shapes.append((name, OKABE_ITO[5], own, (float(first.min()), float(first.max()))))
    parts: list[Any] = [area, dots, _shapes(grid, shapes, unit)]
    ceiling = pd.DataFrame(
        {
            "x": [0.0],
            "reward": [fit.ceiling],
            "low": [fit.ceiling_interval[0]],
            "high": [fit.ceiling_interval[1]],
        }
    )
    at_zero = alt.Chart(ceiling).encode(
        x=x, tooltip=[alt.Tooltip(f"{c}:Q", title=t, format=".4g") for c, t in
                      (("reward", "ceiling b − a"), ("low", "95 % from"), ("high", "to"))]
    )  # fmt: skip
    parts.append(at_zero.mark_rule(strokeWidth=2, color=colours.ink).encode(y="low:Q", y2="high:Q"))
    parts.append(
        at_zero.mark_point(filled=True, shape="square", size=60, color=colours.ink, opacity=1).encode(y=y)
    )
    layers = alt.layer(*parts).resolve_scale(color="independent")
    return styled(layers.properties(width="container", height=300), theme_name)


def points_chart(curve: TrainingCurve, *, unit: Unit = "nats", theme_name: str = "light") -> alt.LayerChart:
    """Reward against entropy of one run, a point a step, with nothing drawn through them.

    Parameters
    ----------
    curve : TrainingCurve
        A run with a reward.
    unit : {"nats", "bits"}
        Of the entropy.
    theme_name : {"light", "dark"}
        Colours.
    """
    alt.data_transformers.disable_max_rows()
    known = np.isfinite(curve.entropy) & np.isfinite(curve.reward)
    every = max(1, -(-int(known.sum()) // MAX_POINTS))
    h, r = curve.entropy[known][::every], curve.reward[known][::every]
    shown: Unit = "nats" if curve.meaning == "not known" else unit
    dots, *_ = _points(h, r, entropy_title(curve.meaning, unit), shown, theme_name)
    return styled(alt.layer(dots).properties(width="container", height=300), theme_name)


def _points(
    entropy: np.ndarray, reward: np.ndarray, title: str, unit: Unit, theme_name: str
) -> tuple[Any, Any, Any]:
    """Points that darken along the run, and the axes they stand on."""
    data = pd.DataFrame(
        {
            "x": from_nats(entropy, unit),
            "reward": reward,
            "part": np.arange(len(entropy)) / max(1, len(entropy) - 1),
        }
    )
    ramp = amount_ramp("entropy_collapse", theme(theme_name).name)
    stops = [rgb_to_hex(ramp[k]) for k in np.linspace(70, 255, 8).astype(int)]
    x = alt.X("x:Q", title=title, scale=alt.Scale(nice=False, zero=True))
    y = alt.Y("reward:Q", title="reward", scale=alt.Scale(zero=False))
    color = alt.Color(
        "part:Q",
        title="part of the run",
        scale=alt.Scale(range=stops, domain=[0, 1]),
        legend=alt.Legend(format=".0%", gradientLength=120, values=[0, 1], titleOrient="left"),
    )
    tooltip = [
        alt.Tooltip("x:Q", title="entropy", format=".4g"),
        alt.Tooltip("reward:Q", format=".4g"),
        alt.Tooltip("part:Q", title="part of the run", format=".0%"),
    ]
    dots = alt.Chart(data).mark_point(filled=True, size=34, opacity=0.85)
    return dots.encode(x=x, y=y, color=color, tooltip=tooltip), x, y


def _shapes(
    grid: np.ndarray,
    shapes: list[tuple[str, str, np.ndarray, tuple[float, float]]],
    unit: Unit,
) -> Any:
    """Curves with their names, colours and the entropies they were fitted on; dashed beyond those."""
    frames = []
    for name, _, reward, (low, high) in shapes:
        at = np.searchsorted(grid, [low, high])
        edges = [0, int(at[0]), int(min(at[1], len(grid) - 1)), len(grid) - 1]
        for piece, (first, last) in enumerate(pairwise(edges)):
            if last > first:
                here = slice(first, last + 1)
                data = {"x": from_nats(grid[here], unit), "reward": reward[here]}
                beyond = "beyond its points" if piece != 1 else "where its points are"
                frames.append(pd.DataFrame(data).assign(fit=name, piece=piece, where=beyond))
    names = [name for name, *_ in shapes]
    return (
        alt.Chart(pd.concat(frames, ignore_index=True))
        .mark_line(strokeWidth=2, clip=True)
        .encode(
            x="x:Q",
            y="reward:Q",
            color=alt.Color(
                "fit:N", title=None, scale=alt.Scale(domain=names, range=[colour for _, colour, *_ in shapes])
            ),
            strokeDash=alt.StrokeDash(
                "where:N",
                legend=None,
                scale=alt.Scale(domain=["where its points are", "beyond its points"], range=[[1, 0], [5, 4]]),
            ),
            detail="piece:O",
            tooltip=[alt.Tooltip("fit:N"), alt.Tooltip("where:N"), alt.Tooltip("reward:Q", format=".4g")],
        )
    )


def spent_chart(
    runs: Mapping[str, Spent],
    *,
    colours: Mapping[str, str] | None = None,
    unit: Unit = "nats",
    theme_name: str = "light",
) -> alt.LayerChart:
    """Reward gained against entropy spent, one path a run, a dot after every tenth of its rows.

    Parameters
    ----------
    runs : mapping of str to Spent
        From :func:`analysis.entropy_collapse.training.onset.entropy_spent`.
    colours : mapping of str to str, optional
        Colour of each run.
    unit : {"nats", "bits"}
        Of the entropy.
    theme_name : {"light", "dark"}
        Colours.
    """
    alt.data_transformers.disable_max_rows()
    colours = dict(colours or colours_of(list(runs)))
    every = -(-sum(len(spent.step) for spent in runs.values()) // MAX_POINTS)
    frames = []
    for name, spent in runs.items():
        n = len(spent.step)
        tenths = np.zeros(n, bool)
        tenths[np.linspace(0, n - 1, 11).astype(int)] = True
        frame = spent.to_frame().assign(run=name, order=np.arange(n), tenth=tenths)
        frame["entropy_spent"] = from_nats(frame["entropy_spent"].to_numpy(), unit)
        frames.append(frame[(np.arange(n) % every == 0) | tenths])
    data = pd.concat(frames, ignore_index=True)
    base = alt.Chart(data).encode(
        x=alt.X(
            "entropy_spent:Q",
            title=f"entropy spent since the start ({unit} per token)",
            scale=alt.Scale(nice=False, padding=12),
        ),
        y=alt.Y("reward_gained:Q", title="reward gained since the start"),
        order="order:Q",
        color=run_colour(list(runs), colours),
        tooltip=[
            alt.Tooltip("run:N"),
            alt.Tooltip("step:Q", format="~g"),
            alt.Tooltip("entropy_spent:Q", title=f"spent ({unit})", format=".3g"),
            alt.Tooltip("reward_gained:Q", title="gained", format=".3g"),
            alt.Tooltip("share_spent:Q", title="share of all spent", format=".0%"),
            alt.Tooltip("share_gained:Q", title="share of all gained", format=".0%"),
        ],
    )
    dots = base.transform_filter("datum.tenth").mark_point(filled=True, size=42, opacity=1)
    layers = alt.layer(base.mark_line(strokeWidth=2), dots)
    return styled(layers.properties(width="container", height=250), theme_name)
