"""Charts of many answers: entropy against correctness, and the entropy of a choice against the strength of steering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import styled
from analysis.drawing.labels import visible
from analysis.drawing.theme import theme
from analysis.units import Unit, from_nats
from analysis.writing.difficulty import BINS, EDGES, Difficulty

if TYPE_CHECKING:
    import altair as alt

    from analysis.writing.steering import Steered


def difficulty_chart(found: Difficulty, *, unit: Unit = "nats", theme_name: str = "light") -> alt.LayerChart:
    """Mean entropy of the answers to each prompt against the share of right ones, with the mean of each third.

    Parameters
    ----------
    found : Difficulty
        From :func:`analysis.writing.difficulty.difficulty`.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    """
    import altair as alt

    colours = theme(theme_name)
    frame = found.to_frame(unit).rename(columns={f"mean_entropy_{unit}": "entropy"})
    frame["prompt"] = [visible(prompt) for prompt in frame["prompt"]]
    edges = [0.0, *EDGES, 1.0]
    means = pd.DataFrame(
        {
            "begin": edges[:-1],
            "end": edges[1:],
            "bin": BINS,
            "entropy": [from_nats(found.mean_entropy(name), unit) for name in BINS],
        }
    )
    x = alt.X("share_right:Q", title="share of right answers", scale=alt.Scale(domain=[0, 1], nice=False))
    y = alt.Y("entropy:Q", title=f"mean entropy ({unit})", scale=alt.Scale(zero=True))
    hover = [
        alt.Tooltip("prompt:N"),
        alt.Tooltip("entropy:Q", format=".4f", title=f"mean entropy ({unit})"),
        alt.Tooltip("share_right:Q", format=".2f", title="share right"),
        alt.Tooltip("samples:Q"),
    ]
    dots = alt.Chart(frame.dropna(subset=["entropy"])).mark_point(filled=True, size=60, opacity=0.75)
    accent = colours.pictures["token_entropy"]
    steps = alt.Chart(means.dropna()).mark_rule(color=colours.ink, strokeWidth=1.5)
    mean = [alt.Tooltip("bin:N"), alt.Tooltip("entropy:Q", format=".4f", title=f"mean of the bin ({unit})")]
    layers = [
        steps.encode(x=alt.X("begin:Q", title="share of right answers"), x2="end:Q", y=y, tooltip=mean),
        dots.encode(x=x, y=y, color=alt.value(accent), tooltip=hover),
    ]
    return styled(alt.layer(*layers).properties(height=240, width="container"), theme_name)


def steering_chart(
    found: Steered, *, unit: Unit = "nats", theme_name: str = "light", strength: float | None = None
) -> alt.LayerChart:
    """Entropy over the choices against the strength, a thin line per prompt and a thick one for their mean.

    Parameters
    ----------
    found : Steered
        From :func:`analysis.writing.steering.steer`.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    strength : float, optional
        One to mark.
    """
    import altair as alt

    colours = theme(theme_name)
    accent = colours.pictures["token_entropy"]
    frame = found.to_frame(unit).rename(columns={f"choice_entropy_{unit}": "entropy"})
    mean = frame.groupby("strength", as_index=False)[["entropy", "mass"]].mean()
    top = from_nats(float(np.log(len(found.choices))), unit)
    x = alt.X("strength:Q", title="strength")
    y = alt.Y("entropy:Q", title=f"entropy ({unit})", scale=alt.Scale(domain=[0, top]))
    hover = [
        alt.Tooltip("strength:Q"),
        alt.Tooltip("entropy:Q", format=".4f", title=f"entropy ({unit})"),
        alt.Tooltip("mass:Q", format=".3f", title="probability of all choices"),
    ]
    thin = alt.Chart(frame).mark_line(color=colours.muted, strokeWidth=1, opacity=0.6)
    thick = alt.Chart(mean).mark_line(color=accent, strokeWidth=2.5, point={"color": accent})
    layers: list[Any] = [thin.encode(x=x, y=y, detail="prompt:N"), thick.encode(x=x, y=y, tooltip=hover)]
    if strength is not None:
        here = alt.Chart(pd.DataFrame({"strength": [strength]})).mark_rule(color=colours.ink, strokeWidth=1.3)
        layers.append(here.encode(x=x))
    return styled(alt.layer(*layers).properties(height=220, width="container"), theme_name)
