"""The pictures of pruning visual tokens: what is lost against how few are kept, and which patches stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import OKABE_ITO, Theme, theme
from analysis.units import Unit, from_nats
from analysis.visual_tokens.choice_marks import clickable
from analysis.visual_tokens.patch_figures import SIDE, picture_map

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analysis.visual_tokens.results import SeenPicture
    from analysis.visual_tokens.sweep_results import VisualSweep

VisualMetric = Literal["kl_first", "kl", "change", "flops", "seconds"]
VISUAL_METRICS: tuple[VisualMetric, ...] = get_args(VisualMetric)
Counted = Literal["kept", "average"]


@dataclass(frozen=True)
class MetricWords:
    """How a metric is named."""

    label: str
    title: str
    is_information: bool = False


METRIC_WORDS: dict[VisualMetric, MetricWords] = {
    "kl_first": MetricWords("KL, first token", "KL(all tokens ‖ pruned), first token", True),
    "kl": MetricWords("KL, whole answer", "mean KL(all tokens ‖ pruned)", True),
    "change": MetricWords("log p of the answer", "change of log p of the answer", True),
    "flops": MetricWords("operations", "operations, share of all tokens'"),
    "seconds": MetricWords("time", "time of one pass, s"),
}
COUNTED = {
    "kept": "visual tokens kept after pruning",
    "average": "visual tokens in a layer, mean over layers",
}
"""Two counts that are never on one axis."""
_RANDOM = "#999999"
_DASHES = ([1, 0], [5, 3], [2, 2])
_COLOURS = tuple(colour for colour in OKABE_ITO if colour not in (_RANDOM, "#F0E442"))
"""Without grey, which is the random control's, and yellow, which is not seen on white."""
_HEIGHT = 280


def method_styles(names: Iterable[str], ink: str) -> dict[str, tuple[str, list[int]]]:
    """Colour and dashes of every method: by its place among all, the same on every chart; controls in grey and ink."""
    found = {"random": (_RANDOM, [1, 0]), "downsampling": (ink, [5, 3])}
    for place, name in enumerate(name for name in names if name not in found):
        found[name] = (_COLOURS[place % len(_COLOURS)], _DASHES[place // len(_COLOURS) % len(_DASHES)])
    return found


def sweep_rows(
    sweep: VisualSweep, metric: VisualMetric = "kl_first", counted: Counted = "kept", unit: Unit = "nats"
) -> pd.DataFrame:
    """One row per method and number of tokens: mean, lowest and highest over seeds; what could not be run is left out."""
    frame = sweep.to_frame()
    frame = frame[(frame["why"] == "") & frame[metric].notna()].iloc[
        1:
    ]  # without all tokens, which is no method
    frame = frame.assign(tokens=frame[counted].astype(float))
    if METRIC_WORDS[metric].is_information:
        frame[metric] = from_nats(frame[metric].to_numpy(float), unit)
    grouped = frame.groupby(["policy", "label", "tokens"], sort=False)
    return grouped.agg(
        asked=("asked", "first"),
        seeds=("seed", "size"),
        right=("right", "mean"),
        mean=(metric, "mean"),
        low=(metric, "min"),
        high=(metric, "max"),
    ).reset_index()


def visual_curves(
    sweep: VisualSweep,
    metric: VisualMetric = "kl_first",
    *,
    counted: Counted = "kept",
    unit: Unit = "nats",
    theme_name: str = "light",
    order: Sequence[str] = (),
    pick: bool = False,
) -> alt.LayerChart:
    """Draw what pruning costs one answer against how many visual tokens are kept.

    Parameters
    ----------
    sweep : VisualSweep
    metric : str
        One of :data:`VISUAL_METRICS`.
    counted : {"kept", "average"}
        What the lower axis counts.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.
    order : sequence of str
        All methods, which decides their colours; those of the sweep by default.
    pick : bool
        Whether a click selects ``policy`` and ``asked`` under the name ``pick``.
    """
    colours, words = theme(theme_name), METRIC_WORDS[metric]
    frame = sweep_rows(sweep, metric, counted, unit)
    title = f"{words.title}, {unit}" if words.is_information else words.title
    curves = method_curves(frame, title, COUNTED[counted], order, colours, spread="over seeds", pick=pick)
    return styled(curves.properties(width="container", height=_HEIGHT), theme_name)


def method_curves(
    frame: pd.DataFrame,
    title: str,
    across: str,
    order: Sequence[str],
    colours: Theme,
    *,
    spread: str,
    bars: bool = False,
    pick: bool = False,
) -> alt.LayerChart:
    """Draw a curve for each method, without a style yet.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``policy``, ``label``, ``tokens``, ``mean``, ``low``, ``high``.
    title, across : str
        Of the two axes.
    order : sequence of str
        All methods, which decides their colours.
    colours : Theme
    spread : str
        What lowest and highest are of.
    bars : bool
        Whether they are drawn as bars rather than as a band.
    pick : bool
        As for :func:`visual_curves`.
    """
    labels: Mapping[str, str] = dict(zip(frame["policy"], frame["label"], strict=True))
    styles = method_styles(order or list(labels), colours.ink)
    names = [labels[policy] for policy in labels]
    looks = [styles[policy] for policy in labels]
    x = alt.X("tokens:Q", title=across, axis=alt.Axis(grid=False, tickCount=6))
    y = alt.Y("mean:Q", title=title, axis=alt.Axis(tickCount=5))
    colour = alt.Color(
        "label:N", title=None, scale=alt.Scale(domain=names, range=[look[0] for look in looks]),
        legend=alt.Legend(columns=3 if bars else 2, symbolType="stroke", labelLimit=150, symbolStrokeWidth=2.5, symbolOpacity=1),
    )  # fmt: skip
    dash = alt.StrokeDash(
        "label:N", scale=alt.Scale(domain=names, range=[look[1] for look in looks]), legend=None
    )
    base = alt.Chart(frame)
    mark = base.mark_rule(opacity=0.5, strokeWidth=1) if bars else base.mark_area(opacity=0.14)
    band = mark.encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q", color=colour)
    points = base.mark_circle(size=46, opacity=1).encode(
        x=x,
        y=y,
        color=colour,
        tooltip=[
            alt.Tooltip("label:N", title="method"),
            alt.Tooltip("tokens:Q", format=".1f", title=across),
            alt.Tooltip("mean:Q", format=".4f", title=title),
            alt.Tooltip("low:Q", format=".4f", title=f"lowest {spread}"),
            alt.Tooltip("high:Q", format=".4f", title=f"highest {spread}"),
        ],
    )
    if pick:
        points = clickable(points, "policy", "asked")
    lines = base.mark_line(strokeWidth=1.8).encode(x=x, y=y, color=colour, strokeDash=dash)
    return band + lines + points


def kept_on_picture(
    picture: SeenPicture,
    sweep: VisualSweep,
    setting: int,
    *,
    theme_name: str = "light",
    patch: int | None = None,
    whole: bool = False,
    side: int = SIDE,
    pick: bool = False,
) -> alt.LayerChart:
    """Draw which patches a method keeps; the others are veiled and struck through.

    Parameters
    ----------
    picture : SeenPicture
    sweep : VisualSweep
    setting : int
        Number of a setting that was run.
    theme_name : {"light", "dark"}
        Colours.
    patch, whole, side, pick
        As for :func:`analysis.visual_tokens.patch_figures.picture_map`.
    """
    return picture_map(
        picture,
        theme_name=theme_name,
        patch=patch,
        gone=~sweep.kept(setting),
        whole=whole,
        side=side,
        pick=pick,
        notes=gone_notes(sweep, setting),
    )


def gone_notes(sweep: VisualSweep, setting: int) -> tuple[str, ...]:
    """What became of every visual token under a setting, in words."""
    this = sweep.settings[setting]
    said = []
    for token, (layer, into) in enumerate(
        zip(this.gone_from.tolist(), this.merged_into.tolist(), strict=True)
    ):
        where = "before the language model" if layer == 0 else f"before layer {layer}"
        if layer >= sweep.n_layers:
            said.append("kept")
        else:
            said.append(f"merged into {into} {where}" if into not in (-1, token) else f"gone {where}")
    return tuple(said)


def kept_frame(picture: SeenPicture, sweep: VisualSweep, setting: int) -> pd.DataFrame:
    """Table behind the picture: a row per visual token, from which layer on it is gone and what it was merged into."""
    this = sweep.settings[setting]
    return pd.DataFrame(
        {
            "position": range(len(picture)),
            "row": picture.row,
            "column": picture.column,
            "kept": sweep.kept(setting),
            "gone_from_layer": this.gone_from,
            "merged_into": this.merged_into,
            "what": gone_notes(sweep, setting),
        }
    )
