"""Entropy collapse over training: logs of real runs, their columns, and their curves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.errors import AnalysisError
from app import runs, state
from app.components import training_readings as readings
from app.components.errors import show_error, show_unavailable
from app.components.figure_card import figure_card
from app.components.layout import side_by_side
from app.components.plain import plain
from app.components.run_status import outcome
from app.components.training_columns import choose_columns, columns_of, task_of
from app.components.training_follow import follow, is_following, say_threshold
from app.components.training_sources import Source, choose_sources, sources, version

if TYPE_CHECKING:
    from analysis.entropy_collapse.onset import Onset
    from analysis.entropy_collapse.training_logs.follow import News, Reading
    from analysis.entropy_collapse.training_results import TrainingCurve
    from app.jobs import Job

# Keys of the session
READ = "training_read"
"""What was read last, by source: it outlives the worker's own memory, and stays while a log is read again."""

_LIVE_AT_ONCE = 3
"""A tab may have four jobs; one place stays free."""
_AGAIN_SECONDS = 1.0
"""How long a page waits for a log that is read again before it shows a progress bar."""
_OTHER = ("reward", "length", "kl", "gradient norm", "clipped share")


@dataclass(frozen=True)
class _Read:
    """The last reading of a source."""

    key: str
    """Of its task."""
    base: str
    """Of the task without how often it was read again."""
    reading: Reading
    news: list[News]


def over_training() -> None:
    """Draw the view."""
    st.caption(
        "Over training: the entropy of a policy's next token, averaged over what it wrote, at every step of a run."
    )
    choose_sources()
    if not sources():
        st.info(
            "Nothing has been read yet. Upload a log, name one on this machine, or take an example above."
        )
        return
    by_source = _read_all()
    curves = _named(by_source)
    choose_columns(by_source)
    read: dict[str, _Read] = st.session_state[READ]
    follow(
        sources(),
        {source_id: own.reading.stamp for source_id, own in read.items()},
        {source_id: own.news for source_id, own in read.items()},
    )
    if not curves:
        return
    from app.components.collapse_training_law import exchange, law

    _curves(curves, say_threshold(curves))
    law(curves)
    exchange(curves)


def _read_all() -> dict[Source, list[TrainingCurve]]:
    """Curves of every source that is read; progress and problems of the others are drawn."""
    read: dict[str, _Read] = st.session_state.setdefault(READ, {})
    tasks = {source: task_of(source) for source in sources()}
    for source_id in set(read) - {source.id for source in tasks}:
        del read[source_id]
    live = 0
    for source, task in tasks.items():
        before, base = read.get(source.id), task_of(source, again=False).key
        if before is not None and before.base != base:  # other columns: nothing of the last reading holds
            del read[source.id]
            before = None
        if before is not None and before.key == task.key:
            continue
        job = runs.find(task)
        if job is None:
            if live >= _LIVE_AT_ONCE:
                st.caption(f"{plain(source.name)} waits.")
                continue
            try:
                job = runs.submit_task(task, _reader(source))
            except AnalysisError as error:
                show_error(error)
                continue
        if before is not None:
            job.wait(_AGAIN_SECONDS)
        live += job.is_live
        if job.state == "cancelled":
            _cancelled(source, task)
            continue
        result = outcome(job, ())
        if result is not None:
            read[source.id] = _Read(task.key, base, result, _news(before, result))
    return {source: list(read[source.id].reading.curves) if source.id in read else [] for source in tasks}


def _news(before: _Read | None, now: Reading) -> list[News]:
    from analysis.entropy_collapse.training_logs.follow import news

    return [] if before is None else news(before.reading.curves, now.curves)


def _reader(source: Source) -> Any:
    columns = columns_of(source)
    growing = source.kind == "path" and (version(source) > 0 or is_following())

    def compute(job: Job) -> Reading:
        from analysis.entropy_collapse.training_logs.follow import look

        name = None if source.kind == "path" else source.names or source.name
        return look(source.paths, growing=growing, name=name, on_progress=job.report, **columns.options())

    return compute


def _cancelled(source: Source, task: runs.Task) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Reading {plain(source.name)} was cancelled.")
        if st.button("Read again", key=f"again_{source.id}"):
            runs.submit_task(task, _reader(source))
            st.rerun()


def _named(by_source: dict[Source, list[TrainingCurve]]) -> list[TrainingCurve]:
    """All curves, with names that differ."""
    out: list[TrainingCurve] = []
    for curve in (c for curves in by_source.values() for c in curves):
        taken, name, k = {c.name for c in out}, curve.name, 2
        while name in taken:
            name, k = f"{curve.name} ({k})", k + 1
        out.append(replace(curve, name=name))
    return out


@st.fragment
def _curves(curves: list[TrainingCurve], threshold: float | None) -> None:
    from analysis.entropy_collapse.training_figures import apart, colours_of
    from analysis.entropy_collapse.training_results import X_AXES

    with st.container(border=True):
        left, middle, right = side_by_side("controls_training", [1.2, 1.2, 1.6], "bottom")
        x = left.segmented_control(
            "Along", X_AXES, default="step", required=True, key=state.LOG_X, bind="query-params"
        )
        there = [column for column in _OTHER if any(curve.has(column) for curve in curves)]
        other = middle.selectbox(
            "Beside entropy", _OTHER, key=state.LOG_METRIC, bind="query-params", help="From the same log."
        )
        smoothing = right.slider(
            "Smoothing",
            0.0,
            0.99,
            0.6,
            0.01,
            key=state.SMOOTHING,
            bind="query-params",
            help=readings.SMOOTHING,
        )
        missing = [axis for axis in ("tokens", "time") if all(c.x(axis) is None for c in curves)]
        if missing:
            st.caption(f"No log here tells {' or '.join(missing)}.")
    onsets = _onsets(curves)
    groups = apart([curve for curve in curves if curve.has("entropy")])
    if len(groups) > 1:
        st.caption(
            "The logs hold different quantities under the name of entropy: each kind has a chart of its own."
        )
    options = {
        "x": x,
        "smoothing": smoothing,
        "threshold": threshold,
        "colours": colours_of([c.name for c in curves]),
    }
    for k, group in enumerate(groups):
        own = {c.name: onsets[c.name] for c in group}
        _card(group, "entropy", f"training_entropy_{k}", options, own)
    if other in there:
        _card(curves, other, "training_other", options)
    else:
        st.caption(f"No log here has a column for {other}.")


def _card(
    curves: list[TrainingCurve],
    column: str,
    name: str,
    options: dict[str, Any],
    onsets: dict[str, Onset | AnalysisError] | None = None,
) -> None:
    from analysis.drawing.charts import chart_svg
    from analysis.entropy_collapse.training_figures import training_chart

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
        show_unavailable(error)
        return
    along = {"step": "training steps", "tokens": "tokens processed", "time": "time"}[options["x"]]
    call = f"figures.training_chart(runs, {column!r}, x={options['x']!r}, smoothing={options['smoothing']:g})"
    with figure_card(
        f"{_title(curves, column)} over {along}",
        "Thin: as logged. Thick: smoothed. Diamonds: held-out data. "
        + ("Dashed: where entropy collapsed." if column == "entropy" else "A gap in the log is a gap here."),
        name=name,
        table=table,
        figure=lambda: chart_svg(chart()),
        figure_ending="svg",
        code=code(curves, call),
        spec=" · ".join(f"{c.name}: {c.chosen[column]}" for c in curves if column in c.chosen),
        more=readings.CURVES if column == "entropy" else "",
    ):
        st.altair_chart(drawn, theme=None, alt=f"{column} over {along}", key=f"{name}_chart")
        if onsets:
            _say_onsets(onsets)


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
    from analysis.entropy_collapse.onset import collapse_onset

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
    st.caption("  \n".join(lines), help=readings.onset_rule())
