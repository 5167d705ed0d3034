"""Tables that dashboards export: a column a run from W&B's panels, a metric a file from TensorBoard."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np

from analysis.entropy_collapse.training.logs import keys as rules
from analysis.entropy_collapse.training.logs.raw import STEP_OF_THE_EVENT, RawLog, Wanted
from analysis.entropy_collapse.training.logs.rows import Cells, by_rows
from analysis.entropy_collapse.training.logs.time_order import time_order

NAMELESS = "download"
"""Of TensorBoard's downloads: the file's name does not tell the run."""
_HEAD_BYTES = 1 << 20
_EXTRA = ("__MIN", "__MAX", "__STEP")
_DOWNLOAD = ("wall time", "step", "value")
_DOWNLOAD_NAME = re.compile(r"(?:run-(?P<run>.*)-)?tag-(?P<tag>.+)$")
"""TensorBoard's own name for a download; slashes of the tag have become underscores."""


def csv_header(head: bytes) -> tuple[list[str], str]:
    """Column names and delimiter from the first bytes of a file; no names if it is no table."""
    first = head.decode("utf-8-sig", "replace").partition("\n")[0].rstrip("\r")
    delimiter = max(",;\t", key=first.count)
    if not first.strip():
        return [], delimiter
    try:
        return next(csv.reader(io.StringIO(first), delimiter=delimiter)), delimiter
    except csv.Error:  # a field beyond any column's name
        return [], delimiter


def metric_of(column: str) -> tuple[str, str]:
    """Run and metric of a W&B panel's column ``run - metric``; no run for any other column."""
    run, dash, metric = column.rpartition(" - ")
    if not dash or metric.endswith(_EXTRA):
        return "", column
    return plain_run(run), metric


def plain_run(run: str) -> str:
    """A run's name without the ``name: `` that newer panels put before it."""
    return run.removeprefix("name: ").removeprefix("Name: ")


def panel_runs(
    names: list[str], columns: dict[str, np.ndarray], wanted: Wanted, notes: list[str]
) -> list[RawLog]:
    """The runs of a W&B panel; none if the columns name no run."""
    by_run: dict[str, dict[str, str]] = {}
    for column in names:
        run, metric = metric_of(column)
        if run:
            by_run.setdefault(run, {})[metric] = column
    shared = {c: c for c in names if not metric_of(c)[0] and not c.endswith(_EXTRA)}
    notes = [*notes, "A W&B panel exports at most a sample of a long run's rows."]
    return [
        replace(table_run(run, "W&B CSV", shared | own, columns, wanted, notes), run=run)
        for run, own in by_run.items()
    ]


def table_run(
    name: str,
    source: str,
    names: dict[str, str],
    columns: dict[str, np.ndarray],
    wanted: Wanted,
    notes: list[str],
) -> RawLog:
    """One run from columns of equal length, by key; NaN is a gap."""
    kept = {key: columns[column] for key, column in names.items() if column in columns}
    n = max((len(v) for v in kept.values()), default=0)
    known = {key: ~np.isnan(v) for key, v in kept.items()}
    rows = np.arange(n)
    cells = Cells(
        tuple(names),
        {key: v[known[key]] for key, v in kept.items()},
        {key: rows[known[key]] for key in kept},
        {key: rows[~known[key]] for key in kept if not key.startswith("_")},
        n,
    )
    return by_rows(name, source, cells, wanted, notes)


def is_download(names: list[str]) -> bool:
    """Whether a header is that of a metric downloaded from TensorBoard."""
    return tuple(name.strip().lower() for name in names) == _DOWNLOAD


def dashboard_export(path: Path, name: str) -> str:
    """Which export of a dashboard a file is: files with the same answer may hold parts of the same runs.

    Parameters
    ----------
    path : pathlib.Path
        A file.
    name : str
        What it was called.

    Returns
    -------
    str
        ``"panel"``, ``"download of <run>"``, :data:`NAMELESS`, or "" for any other file.
    """
    if PurePath(name).suffix.lower() != ".csv":
        return ""
    try:
        with path.open("rb") as file:
            names, _ = csv_header(file.read(_HEAD_BYTES))
    except OSError:
        return ""
    if is_download(names):
        found = _DOWNLOAD_NAME.search(PurePath(name).stem)
        return f"{NAMELESS} of {found['run']}" if found and found["run"] else NAMELESS
    return "panel" if any(metric_of(column)[0] for column in names) else ""


def download_tag(name: str) -> str:
    """The key of a downloaded metric, as far as the file's name tells."""
    stem = PurePath(name).stem
    found = _DOWNLOAD_NAME.search(stem)
    return _tag(found["tag"] if found else stem)


def download_run(
    names: list[str], columns: dict[str, np.ndarray], name: str, wanted: Wanted, notes: list[str]
) -> RawLog:
    """One metric as TensorBoard's CSV download holds it; only the file's name tells which."""
    found = _DOWNLOAD_NAME.search(PurePath(name).stem)
    keys = dict(zip(("wall time", "Step", download_tag(name)), names, strict=True))
    log = table_run(name, "TensorBoard CSV", keys, columns, wanted, notes)
    moments = np.array([time_order(seconds) for seconds in columns[names[0]]], np.int64)
    log.series = {
        key: replace(own, order=moments[own.order], counter=STEP_OF_THE_EVENT)
        for key, own in log.series.items()
        if own.order is not None
    }
    log.clocked = True
    log.run = (found["run"] or "") if found else ""
    return log


def _tag(name: str) -> str:
    """The key behind the name of a file, as far as a rule knows it."""
    if rules.is_held_out(name):
        return name
    groups = (*rules.COMPANIONS.values(), rules.ENTROPY, rules.REWARD)
    for key in (rule.key for group in groups for rule in group):
        flat = key.replace("/", "_")
        if key != rules.DOWNLOADED and (name == flat or name.endswith(f"_{flat}")):
            return key
    return rules.DOWNLOADED
