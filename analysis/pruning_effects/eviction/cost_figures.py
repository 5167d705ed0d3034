"""Pictures of what pruning costs and breaks: bill, needle grid, horizon, stability. Results in, figures out; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import Picture, theme
from analysis.units import Unit, from_nats

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.needle import NeedleGrid

_ACCENT: Picture = "pruning_effects"


def needle_chart(
    grid: NeedleGrid, value: str = "answer_logp", *, unit: Unit = "nats", theme_name: str = "light"
) -> alt.LayerChart:
    """Depth by length for every method and share, side by side; a ring where the answer was right.

    Parameters
    ----------
    grid : NeedleGrid
        From :func:`analysis.needle_grid`.
    value : {"answer_logp", "needle_kept"}
        Colour: log-probability of the answer, or share of the needle's keys that were kept.
    """
    colours = theme(theme_name)
    frame = grid.frame.copy()
    frame["method"] = [
        label if kept == 1 else f"{label}, {kept:.0%}"
        for label, kept in zip(frame["label"], frame["kept"], strict=True)
    ]
    frame["shown"] = (
        from_nats(frame["answer_logp"].to_numpy(), unit) if value == "answer_logp" else frame[value]
    )
    order = list(dict.fromkeys(frame["method"]))
    title = f"log p of the answer, {unit}" if value == "answer_logp" else "share of the needle kept"
    domain = [float(frame["shown"].min()), 0.0] if value == "answer_logp" else [0.0, 1.0]
    scale = alt.Scale(domain=domain, range=[colours.panel, colours.pictures[_ACCENT]])
    base = alt.Chart().encode(
        x=alt.X("length:O", title="tokens", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("depth:O", title="depth of the needle", axis=alt.Axis(format=".0%")),
        tooltip=[
            "method:N",
            "length:O",
            alt.Tooltip("depth:Q", format=".0%"),
            alt.Tooltip("shown:Q", title=title, format=".3f"),
            "answered:N",
            alt.Tooltip("needle_kept:Q", title="needle kept", format=".0%"),
        ],
    )
    cells = base.mark_rect(stroke=colours.line).encode(
        color=alt.Color("shown:Q", title=title, scale=scale, legend=alt.Legend(orient="bottom"))
    )
    right = base.transform_filter("datum.answered").mark_point(color=colours.ink, size=70, strokeWidth=2)
    chart = (
        alt.layer(cells, right, data=frame)
        .properties(width=120, height=150)
        .facet(facet=alt.Facet("method:N", title=None, sort=order), columns=5)
    )
    return styled(chart, theme_name).configure_header(labelColor=colours.ink)


def horizon_chart(frame: pd.DataFrame, *, unit: Unit = "nats", theme_name: str = "light") -> alt.LayerChart:
    """Log-probability of the answer against the first layer that no longer sees the chosen tokens.

    Parameters
    ----------
    frame : pandas.DataFrame
        From :func:`analysis.knock_out_horizon`.
    """
    colours = theme(theme_name)
    shown = frame.assign(logp=from_nats(frame["answer_logp"].to_numpy(), unit))
    full = shown.iloc[[-1]]
    base = alt.Chart(shown).encode(
        x=alt.X("layer:Q", title="hidden from this layer on", axis=alt.Axis(tickMinStep=1, grid=False)),
        y=alt.Y("logp:Q", title=f"log p of the answer, {unit}"),
        tooltip=["layer:Q", alt.Tooltip("logp:Q", format=".3f"), "answered:N"],
    )
    line = base.mark_line(color=colours.pictures[_ACCENT])
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(
        color=alt.Color(
            "answered:N",
            title="answered",
            scale=alt.Scale(domain=[False, True], range=[colours.muted, colours.pictures[_ACCENT]]),
        )
    )
    rule = alt.Chart(full).mark_rule(color=colours.muted, strokeDash=[4, 3]).encode(y="logp:Q")
    return styled(alt.layer(rule, line, dots).properties(width="container", height=240), theme_name)


def stability_chart(frame: pd.DataFrame, *, unit: Unit = "nats", theme_name: str = "light") -> Any:
    """Rank stability of every method beside the damage that the same noise does with the full and pruned cache.

    Parameters
    ----------
    frame : pandas.DataFrame
        From :func:`analysis.rank_stability`.
    """
    colours = theme(theme_name)
    mean = frame.groupby(["label", "noise"], sort=False).mean(numeric_only=True).reset_index()
    order = list(dict.fromkeys(frame["label"]))
    tidy = pd.concat(
        [
            mean.assign(measure="Kendall's tau", value=mean["tau"], panel="ranks"),
            mean.assign(measure="kept tokens that stay", value=mean["preserved"], panel="ranks"),
            mean.assign(
                measure="full cache", value=from_nats(mean["damage_full"].to_numpy(), unit), panel="damage"
            ),
            mean.assign(
                measure="pruned cache",
                value=from_nats(mean["damage_pruned"].to_numpy(), unit),
                panel="damage",
            ),
        ]
    )

    def panel(which: str, title: str, range_: list[str]) -> Any:
        part = tidy[tidy["panel"] == which]
        return (
            alt.Chart(part)
            .mark_point(filled=True, size=70, opacity=0.9)
            .encode(
                x=alt.X("value:Q", title=title, scale=alt.Scale(zero=False)),
                y=alt.Y("label:N", title=None, sort=order),
                color=alt.Color(
                    "measure:N",
                    title=None,
                    scale=alt.Scale(domain=list(dict.fromkeys(part["measure"])), range=range_),
                ),
                size=alt.Size("noise:O", title="noise", scale=alt.Scale(range=[40, 160])),
                tooltip=["label:N", "noise:O", "measure:N", alt.Tooltip("value:Q", format=".4f")],
            )
            .properties(width=300, height=26 * len(order) + 20)
        )

    accent = colours.pictures[_ACCENT]
    ranks = panel("ranks", "1 is unchanged", [accent, colours.positive])
    damage = panel("damage", f"change in NLL per token, {unit}", [colours.muted, accent])
    return styled(alt.hconcat(ranks, damage).resolve_scale(color="independent"), theme_name)


def bill_chart(frame: pd.DataFrame, weight_bytes: int, *, theme_name: str = "light") -> alt.LayerChart:
    """Bytes of keys and values, logical and physical, by method and share, against the weights.

    Parameters
    ----------
    frame : pandas.DataFrame
        From :func:`analysis.bill`; the first seed of a random method is drawn.
    weight_bytes : int
        Bytes of the model's weights, drawn as a line where it is within reach.
    """
    colours = theme(theme_name)
    frame = frame[frame["seed"] == 0]
    tidy = pd.concat(
        [
            frame.assign(what="logical", megabytes=frame["kv_bytes"] / 1e6),
            frame.assign(what="physical", megabytes=frame["kv_bytes_physical"] / 1e6),
        ]
    )
    tidy["series"] = "batch " + tidy["batch"].astype(str)
    base = alt.Chart(tidy).encode(
        x=alt.X("kept:Q", title="share kept", axis=alt.Axis(format=".0%", grid=False)),
        y=alt.Y("megabytes:Q", title="keys and values, MB", scale=alt.Scale(type="log")),
        color=alt.Color(
            "series:N", title=None, scale=alt.Scale(range=[colours.pictures[_ACCENT], colours.positive])
        ),
        shape=alt.Shape("what:N", title=None),
        tooltip=["label:N", "kept:Q", "batch:Q", "what:N", alt.Tooltip("megabytes:Q", format=".3f")],
    )
    layers: list[Any] = [base.mark_point(size=55)]
    weights = weight_bytes / 1e6
    if weights < 20 * float(np.max(tidy["megabytes"])):
        layers.append(
            alt.Chart(pd.DataFrame({"megabytes": [weights], "text": ["weights"]}))
            .mark_rule(color=colours.muted, strokeDash=[4, 3])
            .encode(y="megabytes:Q", tooltip=["text:N", alt.Tooltip("megabytes:Q", format=".1f")])
        )
    return styled(alt.layer(*layers).properties(width="container", height=250), theme_name)
