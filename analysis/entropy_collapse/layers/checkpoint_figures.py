"""Pictures of several models or checkpoints on the same text. Results in, figures out; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import OKABE_ITO, theme
from analysis.entropy_collapse.layers.checkpoints import ModelShape, phases, shapes_frame
from analysis.entropy_collapse.layers.figures import CURVE_COLOURS, layer_axis
from analysis.units import Unit, from_nats

_MOST_NAMED = 8
"""More curves than this get a ramp by step, or one grey line each."""


def models_frame(
    shapes: Sequence[ModelShape], *, order: float = 1.0, first_token: bool = True, unit: Unit = "nats"
) -> pd.DataFrame:
    """Matrix entropy of every model: ``model``, ``step``, ``layer``, ``value``."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "model": shape.name,
                    "step": shape.step,
                    "layer": np.arange(shape.spectrum.shape[1]),
                    "value": from_nats(shape.entropy(order, first_token=first_token), unit),
                }
            )
            for shape in shapes
        ],
        ignore_index=True,
    )


def model_curves(
    shapes: Sequence[ModelShape],
    *,
    order: float = 1.0,
    first_token: bool = True,
    unit: Unit = "nats",
    selected: str | None = None,
    theme_name: str = "light",
) -> alt.LayerChart:
    """Matrix entropy over layers, one curve per model; checkpoints are shaded by training step."""
    colours = theme(theme_name)
    accent = colours.pictures["entropy_collapse"]
    frame = models_frame(shapes, order=order, first_token=first_token, unit=unit)
    names = [shape.name for shape in shapes]
    if all(shape.step is not None for shape in shapes):
        colour = alt.Color(
            "step:Q",
            title="step",
            scale=alt.Scale(range=[colours.line, accent]),
            legend=alt.Legend(orient="right"),
        )
    elif len(names) <= _MOST_NAMED:
        palette = [accent, *CURVE_COLOURS][: len(names)]
        colour = alt.Color("model:N", title=None, scale=alt.Scale(domain=names, range=palette))
    else:
        colour = alt.Color("model:N", title=None, legend=None, scale=alt.Scale(range=[colours.muted]))
    title = f"matrix entropy, {unit}" if order == 1 else f"matrix entropy of order {order:g}, {unit}"
    base = alt.Chart(frame).encode(
        x=layer_axis("layer"),
        y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
        detail="model:N",
        tooltip=["model:N", "layer:Q", alt.Tooltip("value:Q", format=".4f")],
    )
    layers: list[Any] = [base.mark_line(point={"size": 22}).encode(color=colour)]
    if selected is not None:
        chosen = base.transform_filter(alt.datum.model == selected)
        layers.append(chosen.mark_line(color=colours.positive, strokeWidth=3))
    return styled(alt.layer(*layers).properties(width="container", height=260), theme_name)


_RANKS = {
    "rank_singular": "RankMe, singular values",
    "rank_eigen": "effective rank, eigenvalues",
    "alpha": "alpha-ReQ",
}


def rank_panels(shapes: Sequence[ModelShape], *, theme_name: str = "light") -> list[Any]:
    """Effective ranks and alpha-ReQ of the final states over training steps, with the phases, a chart each."""
    colours = theme(theme_name)
    frame = shapes_frame(shapes).dropna(subset=["step"])
    spans = pd.DataFrame([vars(phase) for phase in phases(shapes)], columns=["name", "first", "last"])
    bands = (
        alt.Chart(spans)
        .mark_rect(opacity=0.14)
        .encode(
            x=alt.X("first:Q", title="training step"),
            x2="last:Q",
            color=alt.Color(
                "name:N",
                title=None,
                scale=alt.Scale(domain=["collapse", "expansion", "compression"], range=list(OKABE_ITO[:3])),
            ),
        )
    )

    def panel(columns: list[str], title: str) -> Any:
        tidy = frame.melt("step", columns, "measure", "value").replace({"measure": _RANKS}).dropna()
        line = (
            alt.Chart(tidy)
            .mark_line(point={"size": 30}, color=colours.pictures["entropy_collapse"])
            .encode(
                x=alt.X(
                    "step:Q", title="training step", axis=alt.Axis(grid=False), scale=alt.Scale(nice=False)
                ),
                y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
                strokeDash=alt.StrokeDash("measure:N", title=None, legend=alt.Legend(labelLimit=260)),
                tooltip=["step:Q", "measure:N", alt.Tooltip("value:Q", format=".4g")],
            )
        )
        layers = [bands, line] if len(spans) else [line]
        return styled(alt.layer(*layers).properties(width="container", height=210), theme_name)

    panels = [panel(["rank_singular", "rank_eigen"], "effective rank")]
    if frame["alpha"].notna().any():
        panels.append(panel(["alpha"], "alpha-ReQ, exponent"))
    return panels
