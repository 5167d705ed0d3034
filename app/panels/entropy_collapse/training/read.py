"""Reading the logs on the page: each by the worker, and again when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.compute import requests as runs
from app.panels.entropy_collapse.training.columns import calculation_of, columns_of
from app.panels.entropy_collapse.training.follow import is_following
from app.panels.entropy_collapse.training.sources import Source, sources, version
from app.widgets.plain import plain
from app.widgets.pressed import pressed
from app.widgets.run_status import outcome, try_submit

if TYPE_CHECKING:
    from analysis.entropy_collapse.training.logs.follow import LogState, News, Stamp
    from analysis.entropy_collapse.training.results import TrainingCurve
    from app.compute.job import Job


_LIVE_AT_ONCE = 3
"""A tab may have four jobs; one place stays free."""
_AGAIN_SECONDS = 1.0
"""How long a page waits for a log that is read again before it shows a progress bar."""


@dataclass(frozen=True)
class _Read:
    """The last reading of a source."""

    key: str
    """Of its calculation."""
    base: str
    """Of the calculation without how often it was read again."""
    log_state: LogState
    news: list[News]


def read_all() -> dict[Source, list[TrainingCurve]]:
    """Curves of every source that is read; progress and problems of the others are drawn."""
    read: dict[str, _Read] = st.session_state.setdefault(state.LOG_READ, {})
    calculations = {source: calculation_of(source) for source in sources()}
    for source_id in set(read) - {source.id for source in calculations}:
        del read[source_id]
    live = 0
    for source, calculation in calculations.items():
        before, base = read.get(source.id), calculation_of(source, again=False).key
        if before is not None and before.base != base:  # other columns: nothing of the last reading holds
            del read[source.id]
            before = None
        if before is not None and before.key == calculation.key:
            continue
        job = runs.find(calculation)
        if job is None:
            if live >= _LIVE_AT_ONCE:
                st.caption(f"{plain(source.name)} waits.")
                continue
            job = try_submit(runs.submit_calculation, calculation, _reader(source))
            if job is None:
                continue
        if before is not None:
            job.wait(_AGAIN_SECONDS)
        live += job.is_live
        if job.state == "cancelled":
            _cancelled(source, calculation)
            continue
        result = outcome(job, ())
        if result is not None:
            read[source.id] = _Read(calculation.key, base, result, _news(before, result))
    return {
        source: list(read[source.id].log_state.curves) if source.id in read else [] for source in calculations
    }


def stamps_and_news() -> tuple[dict[str, Stamp], dict[str, list[News]]]:
    """By source: the files as they were when they were read, and what that reading found new."""
    read: dict[str, _Read] = st.session_state.get(state.LOG_READ, {})
    stamps = {source_id: own.log_state.stamp for source_id, own in read.items()}
    return stamps, {source_id: own.news for source_id, own in read.items()}


def _news(before: _Read | None, now: LogState) -> list[News]:
    from analysis.entropy_collapse.training.logs.follow import news

    return [] if before is None else news(before.log_state.curves, now.curves)


def _reader(source: Source) -> Any:
    columns = columns_of(source)
    growing = source.kind == "path" and (version(source) > 0 or is_following())

    def compute(job: Job) -> LogState:
        from analysis.entropy_collapse.training.logs.follow import read_log_state

        name = None if source.kind == "path" else source.names or source.name
        return read_log_state(
            source.paths, growing=growing, name=name, on_progress=job.report, **columns.options()
        )

    return compute


def _cancelled(source: Source, calculation: runs.Calculation) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Reading {plain(source.name)} was cancelled.")
        if pressed("Read again", key=f"again_{source.id}"):
            runs.submit_calculation(calculation, _reader(source))
            st.rerun()
