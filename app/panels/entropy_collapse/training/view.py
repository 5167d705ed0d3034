"""Entropy collapse over training: logs of real runs, their columns, and their curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.errors import AnalysisError
from app import state
from app.choice import choose, chosen
from app.panels.entropy_collapse.training import help as explained
from app.panels.entropy_collapse.training.columns import choose_columns
from app.panels.entropy_collapse.training.follow import follow, say_threshold
from app.panels.entropy_collapse.training.read import read_all, stamps_and_news
from app.panels.entropy_collapse.training.sources import chips, choose_sources, sources
from app.widgets.figure_card import altair_card
from app.widgets.layout import picture_and_choice
from app.widgets.messages import show_unavailable
from app.widgets.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from analysis.entropy_collapse.training.onset import Onset
    from analysis.entropy_collapse.training.results import TrainingCurve

PICTURES = ("curves", "law")
_SMOOTHING = 0.6
_OTHER = ("reward", "length", "kl", "gradient norm", "clipped share")


def over_training(line: Any) -> None:
    """Draw the logs that were opened, until then the shipped example.

    Parameters
    ----------
    line : container
        Of the heading: the choice of pictures stands at its end.
    """
    from analysis.entropy_collapse.training.results import distinct

    picture = choose("Pictures", PICTURES, key=state.LOG_PICTURES, place=line, titled=False)
    left, right = picture_and_choice("training", follows=False)
    panel = right.container(border=True, key="panel_training")
    with panel:
        choose_sources()
        chips()
        by_source = read_all()
        curves = distinct(curve for found in by_source.values() for curve in found)
        if not sources():
            st.caption(
                "**Example**: a run of TRL's GRPO trainer that ships with the app. Open a log for yours."
            )
            curves = [_example()]
        threshold = say_threshold(curves)
        if curves:
            _say_onsets(_onsets(curves))
        follow(sources(), *stamps_and_news())
    with left:
        if curves and picture == PICTURES[1]:
            from app.panels.entropy_collapse.training.law import exchange, law

            law(curves)
            exchange(curves)
        else:
            if curves:
                _curves(curves, threshold)
            choose_columns(by_source, curves)


@st.cache_resource(show_spinner=False, max_entries=1)
def _example() -> TrainingCurve:
    """The log that is drawn before one is opened."""
    from analysis.entropy_collapse.training.logs import EXAMPLES, read_training_log

    return read_training_log(EXAMPLES["near_words"])


@st.fragment
def _curves(curves: list[TrainingCurve], threshold: float | None) -> None:
    from analysis.entropy_collapse.training.figures import apart, colours_of
    from analysis.entropy_collapse.training.results import X_AXES

    x = chosen(X_AXES, state.LOG_X)
    other = chosen(_OTHER, state.LOG_METRIC)
    there = [column for column in _OTHER if any(curve.has(column) for curve in curves)]
    missing = [axis for axis in ("tokens", "time") if all(c.x(axis) is None for c in curves)]
    onsets = _onsets(curves)
    groups = apart([curve for curve in curves if curve.has("entropy")])
    if len(groups) > 1:
        st.caption(
            "The logs hold different quantities under the name of entropy: each kind has a chart of its own."
        )
    options = {
        "x": x,
        "smoothing": float(st.session_state.get(state.SMOOTHING, _SMOOTHING)),
        "threshold": threshold,
        "colours": colours_of([c.name for c in curves]),
    }
    for k, group in enumerate(groups):
        own = {c.name: onsets[c.name] for c in group}
        _card(group, "entropy", f"training_entropy_{k}", options, own, _along if k == 0 else None)
    if missing:
        st.caption(f"No log here has the {' or '.join(missing)}.")
    if other in there:
        _card(curves, other, "training_other", options, controls=_beside)
    else:
        _beside()
        st.caption(f"No log here has a column for {other}.")


def _along() -> None:
    from analysis.entropy_collapse.training.results import X_AXES

    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="line_along"):
        choose("Along", X_AXES, key=state.LOG_X, titled=False)
        with st.popover("Smoothing", key="smoothing_popover"):
            st.slider(
                "Smoothing",
                0.0,
                0.99,
                _SMOOTHING,
                0.01,
                key=state.SMOOTHING,
                bind="query-params",
                help=explained.SMOOTHING,
            )


def _beside() -> None:
    st.selectbox(
        "Beside entropy",
        _OTHER,
        key=state.LOG_METRIC,
        bind="query-params",
        label_visibility="collapsed",
        width=200,
    )


def _card(
    curves: list[TrainingCurve],
    column: str,
    name: str,
    options: dict[str, Any],
    onsets: dict[str, Onset | AnalysisError] | None = None,
    controls: Callable[[], None] | None = None,
) -> None:
    from analysis.entropy_collapse.training.figures import training_chart

    found = {n: onset for n, onset in (onsets or {}).items() if not isinstance(onset, AnalysisError)}

    def chart() -> Any:
        return training_chart(
            curves,
            column,
            onsets=found,
            height=270 if onsets else 230,
            unit=state.unit(),
            theme_name=state.theme_name(),
            **options,
        )

    def table() -> Any:
        import pandas as pd

        return pd.concat([curve.to_frame().assign(run=curve.name) for curve in curves], ignore_index=True)

    try:
        drawn = chart()
    except AnalysisError as error:
        if controls is not None:
            controls()
        show_unavailable(error)
        return
    along = {"step": "training steps", "tokens": "tokens processed", "time": "time"}[options["x"]]
    call = f"figures.training_chart(runs, {column!r}, x={options['x']!r}, smoothing={options['smoothing']:g})"
    with altair_card(
        f"{_title(curves, column)} over {along}",
        "Thin: as logged. Thick: smoothed. Diamonds: held-out data. "
        + ("Dashed: where entropy collapsed." if column == "entropy" else "A gap in the log is a gap here.")
        + " Dotted: your threshold." * (column == "entropy" and options["threshold"] is not None),
        chart,
        name=name,
        alt=f"{column} over {along}",
        table=table,
        code=code(curves, call),
        phrase=" · ".join(f"{c.name}: {c.chosen[column]}" for c in curves if column in c.chosen),
        more=explained.CURVES if column == "entropy" else "",
    ) as draw:
        if controls is not None:
            controls()
        draw(drawn)


def _title(curves: list[TrainingCurve], column: str) -> str:
    if column != "entropy":
        return column.capitalize() if column != "kl" else "KL"
    kinds = {"per sequence": "Entropy summed over each answer", "not known": "Entropy as logged"}
    return kinds.get(curves[0].meaning, "Policy entropy")


def code(curves: list[TrainingCurve], call: str) -> str:
    """Notebook lines that read these runs and draw one picture of them."""
    names = ", ".join(repr(curve.name) for curve in curves)
    return (
        "from analysis import figures, read_training_log\n\n"
        f"runs = [read_training_log(path) for path in ({names},)]  # paths of the logs\n"
        f"{call}\n"
    )


def _onsets(curves: list[TrainingCurve]) -> dict[str, Onset | AnalysisError]:
    """Onset of each run, or why the rule cannot be asked."""
    from analysis.entropy_collapse.training.onset import collapse_onset

    out: dict[str, Onset | AnalysisError] = {}
    for curve in curves:
        try:
            out[curve.name] = collapse_onset(curve)
        except AnalysisError as error:
            out[curve.name] = error
    return out


def _say_onsets(onsets: dict[str, Onset | AnalysisError]) -> None:
    lines = []
    for name, onset in onsets.items():
        text = f"Not available: {onset}" if isinstance(onset, AnalysisError) else onset.which
        lines.append(f"**{plain(name)}**: {plain(text)}")
    st.caption("  \n".join(lines), help=explained.onset_rule())
