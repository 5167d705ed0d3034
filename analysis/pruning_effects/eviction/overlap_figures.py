"""What methods have in common: overlap of kept sets, and where kept tokens stand. Results in, figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import amount_ramp, rgb_to_hex, text_on, theme
from analysis.pruning_effects.eviction.overlap import ORACLE, overlap_frame, positions_frame

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.results import Sweep


def _ramp(theme_name: str) -> tuple[np.ndarray, list[str]]:
    ramp = amount_ramp("pruning_effects", theme(theme_name).name)
    return ramp, [rgb_to_hex(ramp[i]) for i in np.linspace(0, len(ramp) - 1, 9).astype(int)]


def overlap_matrix(sweep: Sweep, kept: float, *, theme_name: str = "light") -> alt.LayerChart:
    """Jaccard overlap of what methods keep, and with an oracle, one cell per pair.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`.
    kept : float
        Share kept.
    theme_name : {"light", "dark"}
        Colours.
    """
    frame = overlap_frame(sweep, kept)
    ramp, stops = _ramp(theme_name)
    shade = ramp[(frame["jaccard"].to_numpy() * (len(ramp) - 1)).round().astype(int)]
    frame["light"] = text_on(shade)
    order = [*dict.fromkeys(frame.loc[frame["method"] != ORACLE, "method"]), ORACLE]
    base = alt.Chart(frame).encode(
        x=alt.X("other:N", sort=order, title=None, axis=alt.Axis(orient="top", labelAngle=-35)),
        y=alt.Y("method:N", sort=order, title=None),
    )
    cells = base.mark_rect().encode(
        color=alt.Color(
            "jaccard:Q",
            scale=alt.Scale(domain=[0, 1], range=stops, interpolate="rgb"),
            legend=None,
        ),
        tooltip=["method:N", alt.Tooltip("other:N", title="and"), alt.Tooltip("jaccard:Q", format=".4f")],
    )
    numbers = base.mark_text().encode(
        text=alt.Text("jaccard:Q", format=".2f"),
        color=alt.condition("datum.light", alt.value("white"), alt.value("black")),
    )
    height = 26 * len(order) + 96
    return styled(alt.layer(cells, numbers).properties(width="container", height=height), theme_name)


def kept_positions(sweep: Sweep, kept: float, *, theme_name: str = "light") -> alt.LayerChart:
    """Where kept tokens stand in the context: survival by stretch, and the mean position as a tick.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`.
    kept : float
        Share kept.
    theme_name : {"light", "dark"}
        Colours.
    """
    colours = theme(theme_name)
    frame = positions_frame(sweep, kept)
    frame["end"] = frame["last"] + 1
    order = list(dict.fromkeys(frame["method"]))
    y = alt.Y("method:N", sort=order, title=None)
    _, stops = _ramp(theme_name)
    domain = alt.Scale(domain=[0, sweep.spec.n_context], nice=False)
    cells = (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("first:Q", title="token of the context", scale=domain, axis=alt.Axis(grid=False)),
            x2="end:Q",
            y=y,
            color=alt.Color(
                "survived:Q",
                title="share that survives",
                scale=alt.Scale(domain=[0, 1], range=stops, interpolate="rgb"),
                legend=alt.Legend(orient="top", gradientLength=160, format=".0%"),
            ),
            tooltip=[
                "method:N",
                alt.Tooltip("first:Q", title="first token"),
                alt.Tooltip("last:Q", title="last token"),
                alt.Tooltip("survived:Q", title="share that survives", format=".1%"),
                alt.Tooltip("mean_position:Q", title="mean kept position", format=".1f"),
            ],
        )
    )
    means = frame.drop_duplicates("method")
    ticks = (
        alt.Chart(means)
        .mark_tick(color=colours.ink, thickness=2.5, size=22)
        .encode(
            x=alt.X("mean_position:Q", scale=domain),
            y=y,
            tooltip=["method:N", alt.Tooltip("mean_position:Q", title="mean kept position", format=".1f")],
        )
    )
    height = 26 * len(order) + 96
    return styled(alt.layer(cells, ticks).properties(width="container", height=height), theme_name)


__all__ = ["kept_positions", "overlap_matrix"]
