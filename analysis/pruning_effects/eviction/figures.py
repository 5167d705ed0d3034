"""The pictures of KV-cache eviction, the trade-off curves among them. Results in, figures out; no model, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.strip_figure import StripFigure, strip_figure
from analysis.drawing.theme import theme
from analysis.pruning_effects.eviction.map_figures import kept_heatmap, phrase_heatmap
from analysis.pruning_effects.eviction.overlap import labels
from analysis.pruning_effects.eviction.overlap_figures import kept_positions, overlap_matrix
from analysis.pruning_effects.eviction.strips import DamageQuantity, damage_strip, kept_strip
from analysis.pruning_effects.eviction.styles import styles_of
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.results import Sweep

Metric = Literal["kl", "kl_p95", "delta_nll", "top1_agreement", "answer_logp", "retained_mass"]
METRICS: tuple[Metric, ...] = get_args(Metric)


@dataclass(frozen=True)
class MetricText:
    """How a metric of a sweep is named."""

    label: str
    title: str
    is_information: bool
    """Whether it has the unit of information."""


METRIC_TEXTS: dict[Metric, MetricText] = {
    "kl": MetricText("KL, mean", "mean KL(full ‖ pruned)", True),
    "kl_p95": MetricText("KL, worst 5 %", "p95 of KL(full ‖ pruned)", True),
    "delta_nll": MetricText("change in NLL", "change in NLL per token", True),
    "top1_agreement": MetricText("top-1 agreement", "same first choice", False),
    "answer_logp": MetricText("log p of the answer", "log p of the answer", True),
    "retained_mass": MetricText("attention kept", "attention kept", False),
}

_LEGEND_COLUMNS, _NARROW = 3, 360
"""Names side by side, one fewer in a chart of less than so many pixels."""


def curve_frame(sweep: Sweep, metric: Metric, *, unit: Unit = "nats") -> pd.DataFrame:
    """One row per method and share: mean, lowest and highest over seeds.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`.
    metric : str
        One of :data:`METRICS`.
    unit : {"nats", "bits"}
        Unit of information.

    Returns
    -------
    pandas.DataFrame
        Columns policy, label, kept, budget (tokens over layers and KV heads), seeds, mean, low, high. Settings to
        which the metric does not apply are left out.

    Raises
    ------
    ValueError
        If the sweep has no answer and its log p is asked for.
    """
    frame = sweep.to_frame()
    if metric not in frame:
        raise ValueError("the sweep has no answer: sweep_eviction(..., answer=...)")
    frame = frame[frame[metric].notna()]
    if METRIC_TEXTS[metric].is_information:
        frame = frame.assign(**{metric: from_nats(frame[metric].to_numpy(float), unit)})
    grouped = frame.groupby(["policy", "label", "kept"], sort=False)
    return grouped.agg(
        budget=("kv_budget", "first"),
        seeds=("seed", "size"),
        mean=(metric, "mean"),
        low=(metric, "min"),
        high=(metric, "max"),
    ).reset_index()


def pruning_curves(
    sweep: Sweep,
    metric: Metric = "kl",
    *,
    log: bool = False,
    unit: Unit = "nats",
    theme_name: str = "light",
) -> alt.LayerChart:
    """What pruning costs against the share kept, one line per method, the full cache as reference.

    Parameters
    ----------
    sweep : Sweep
        From :func:`analysis.sweep_eviction`; a partial one too.
    metric : str
        One of :data:`METRICS`.
    log : bool, default False
        Logarithmic axis; values of 0, the reference of a KL among them, are then left out.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.

    Notes
    -----
    Methods drawn several times show the mean over seeds in a band from the lowest to the highest.
    """
    colours, text = theme(theme_name), METRIC_TEXTS[metric]
    frame = curve_frame(sweep, metric, unit=unit)
    reference = float(frame.loc[frame["policy"] == "full", "mean"].iloc[0])
    if log:
        frame = frame[frame["low"] > 0]
    title = f"{text.title} ({unit})" if text.is_information else text.title
    is_share = not text.is_information
    drawn = frame[frame["policy"] != "full"]
    least = float(drawn["kept"].min()) if len(drawn) else 0.0
    whole = {"policy": "full", "label": "full cache", "seeds": 1, "budget": sweep.settings[0].budget}
    ends = pd.DataFrame([whole | {"kept": kept, "mean": reference} for kept in (least, 1.0)])
    known = {"full": "full cache"} | labels(sweep)
    if log and reference <= 0:
        known.pop("full")
    shown, styles = list(known.values()), styles_of(list(known))
    pick = alt.selection_point(name="method", fields=["label"], bind="legend", empty=True)
    scale: Any = alt.Scale(type="log") if log else alt.Scale(zero=metric in ("kl", "kl_p95"), nice=True)
    x = alt.X(
        "kept:Q",
        title="share of the context kept",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", grid=False, values=sorted({*drawn["kept"], 1.0})),
    )
    ticks: dict[str, Any] = {"values": _decades(frame)} if log else {"tickCount": 6}
    axis = alt.Axis(format=".0%" if is_share else "~g", **ticks)
    y = alt.Y("mean:Q", title=title, scale=scale, axis=axis)
    colour = alt.Color(
        "label:N",
        title=None,
        sort=shown,
        scale=alt.Scale(domain=shown, range=[style[0] for style in styles]),
        legend=alt.Legend(
            symbolType="stroke",
            symbolStrokeWidth=2.5,
            symbolSize=300,
            symbolOpacity=1,
            columns=alt.ExprRef(f"width < {_NARROW} ? {_LEGEND_COLUMNS - 1} : {_LEGEND_COLUMNS}"),
        ),
    )
    dash = alt.StrokeDash(
        "label:N", title=None, sort=shown, scale=alt.Scale(domain=shown, range=[style[1] for style in styles])
    )
    fade = alt.condition(pick, alt.value(1.0), alt.value(0.12))
    number = ".1%" if is_share else ".4g"
    hover = [
        alt.Tooltip("label:N", title="method"),
        alt.Tooltip("kept:Q", title="share kept", format=".0%"),
        alt.Tooltip("budget:Q", title="tokens kept, all layers and KV heads", format=","),
        alt.Tooltip("mean:Q", title=title, format=number),
        alt.Tooltip("low:Q", title="lowest seed", format=number),
        alt.Tooltip("high:Q", title="highest seed", format=number),
    ]
    several = drawn[drawn["seeds"] > 1]
    parts = [
        alt.Chart(several)
        .mark_area(opacity=0.22)
        .encode(
            x=x,
            y=alt.Y("low:Q", title=title, scale=scale, axis=axis),
            y2="high:Q",
            color=colour,
            detail="label:N",
        ),
        alt.Chart(drawn)
        .mark_line(strokeWidth=2)
        .encode(x=x, y=y, color=colour, strokeDash=dash, opacity=fade),
        alt.Chart(drawn)
        .mark_point(filled=True, size=46)
        .encode(x=x, y=y, color=colour, opacity=fade, tooltip=hover),
    ]
    if "full" in known:
        line = alt.Chart(ends).mark_line(strokeWidth=1.5)
        parts.insert(0, line.encode(x=x, y=y, color=colour, strokeDash=dash, tooltip=hover[:4]))
    if metric == "delta_nll":
        parts.insert(0, alt.Chart(ends).mark_rule(color=colours.muted).encode(y=alt.YDatum(0)))
    chart = alt.layer(*parts).add_params(pick)
    height = 250 + 18 * -(-len(shown) // _LEGEND_COLUMNS)
    return styled(chart.properties(width="container", height=height), theme_name)


def _decades(frame: pd.DataFrame) -> list[float]:
    """Powers of ten around the values, for a logarithmic axis."""
    if frame.empty:
        return []
    low, high = np.log10([frame["low"].min(), frame["high"].max()])
    return [float(10.0**power) for power in range(int(np.floor(low)), int(np.ceil(high)) + 1)]


def kept_tokens(sweep: Sweep, setting: int, *, theme_name: str = "light") -> StripFigure:
    """The context coloured by what survived, as HTML for a notebook or a file.

    See :func:`analysis.pruning_effects.eviction.strips.kept_strip`.
    """
    strip = kept_strip(sweep, setting)
    return strip_figure(strip, theme_name=theme_name, caption=_caption(sweep, setting))


def damage_tokens(
    sweep: Sweep,
    setting: int,
    quantity: DamageQuantity = "kl",
    *,
    unit: Unit = "nats",
    theme_name: str = "light",
) -> StripFigure:
    """The continuation coloured by damage, as HTML for a notebook or a file.

    See :func:`analysis.pruning_effects.eviction.strips.damage_strip`.
    """
    strip = damage_strip(sweep, setting, quantity, unit=unit)
    return strip_figure(strip, theme_name=theme_name, caption=_caption(sweep, setting))


def _caption(sweep: Sweep, setting: int) -> str:
    chosen = sweep.settings[setting]
    return f"{sweep.spec.subtitle} · {chosen.label}, {chosen.kept:.0%} kept"


__all__ = [
    "METRICS",
    "METRIC_TEXTS",
    "curve_frame",
    "damage_tokens",
    "kept_heatmap",
    "kept_positions",
    "kept_tokens",
    "overlap_matrix",
    "phrase_heatmap",
    "pruning_curves",
]
