"""CSV tables: W&B panels, TensorBoard downloads, and any other. Streamed: only the needed columns are kept."""

from __future__ import annotations

import csv
import io
import re
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.entropy_collapse.training.logs import choosing
from analysis.entropy_collapse.training.logs.lines import opened
from analysis.entropy_collapse.training.logs.panels import (
    csv_header,
    download_run,
    is_download,
    metric_of,
    panel_runs,
    table_run,
)
from analysis.entropy_collapse.training.logs.raw import RawLog, Wanted
from analysis.errors import AnalysisError, BrokenFileError
from analysis.progress import Progress

_BLOCK_BYTES = 1 << 22
_HEAD_BYTES = 1 << 20
_WITH_COMMA = re.compile(r"\s*[-+]?\d*,\d+(?:[eE][-+]?\d+)?\s*$")
_WITH_POINT = re.compile(r"\s*[-+]?\d*\.\d+(?:[eE][-+]?\d+)?\s*$")
_RUN_NAMES = {"name", "run", "run name", "run id", "id"}
_RUN_FACTS = {"state", "status", "created", "start time", "end time", "runtime", "duration", "user", "sweep",
              "notes", "tags", "host name", "source"}  # fmt: skip
"""Columns of a dashboard's table of runs; a log of steps has no two of them."""


def read_csv(path: Path, name: str, wanted: Wanted, on_progress: Progress) -> list[RawLog]:
    """A CSV table: one run, or for a W&B panel export one for each run in its column names.

    Raises
    ------
    AnalysisError
        If a needed column holds text, a name appears twice, or a row is a run and not a step.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    names, delimiter = csv_header(head)
    _refuse_runs_table(names, name)
    download = is_download(names)
    needed = [c for c in names if download or wanted(metric_of(c)[1]) or wanted(c)]
    twice = next((c for c in needed if names.count(c) > 1), None)
    if twice is not None:
        raise AnalysisError(f"{name} has two columns named {twice!r}.", "Rename one of them.")
    layout = _Layout(
        names, needed, delimiter, _decimal_point(head, delimiter, [names.index(c) for c in needed])
    )
    columns, notes = _columns(path, name, wanted, layout, on_progress)
    if download:
        return [download_run(names, columns, name, wanted, notes)]
    by_name = dict(zip(names, names, strict=True))
    return panel_runs(names, columns, wanted, notes) or [
        table_run(name, "CSV", by_name, columns, wanted, notes)
    ]


@dataclass(frozen=True)
class _Layout:
    names: list[str]
    needed: list[str]
    delimiter: str
    decimal_point: str


def _refuse_runs_table(names: list[str], name: str) -> None:
    plain = {column.strip().lower() for column in names}
    if plain & _RUN_NAMES and len(plain & _RUN_FACTS) > 1:
        raise AnalysisError(
            f"{name} is a table of runs, one row a run: it holds no steps.",
            "Export what was logged step by step: in W&B open the panel of the metric and choose Export, CSV, or "
            "take run.scan_history() of its API.",
        )


def _decimal_point(head: bytes, delimiter: str, columns: list[int]) -> str:
    """A comma where numbers of these columns are written with one and none with a point, else a point."""
    text = head.decode("utf-8-sig", "replace")
    whole = text.rpartition("\n")[0] or text
    commas = points = 0
    try:
        for row in csv.reader(io.StringIO(whole), delimiter=delimiter):
            cells = [row[k] for k in columns if k < len(row)]
            commas += sum(bool(_WITH_COMMA.match(cell)) for cell in cells)
            points += sum(bool(_WITH_POINT.match(cell)) for cell in cells)
    except csv.Error:  # a field beyond any number
        return "."
    return "," if commas and not points else "."


def _columns(
    path: Path, name: str, wanted: Wanted, layout: _Layout, on_progress: Progress
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The needed columns as numbers, NaN where a cell is empty, and what was left out."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    broken = 0

    def leave_out(_row: Any) -> str:
        nonlocal broken
        broken += 1
        return "skip"

    columns: dict[str, array[float]] = {c: array("d") for c in layout.needed}
    if not columns:
        return {}, []
    size = max(1, path.stat().st_size)
    try:
        with opened(path, wanted) as file:
            reader = arrow_csv.open_csv(
                file,
                arrow_csv.ReadOptions(block_size=_BLOCK_BYTES),
                arrow_csv.ParseOptions(delimiter=layout.delimiter, invalid_row_handler=leave_out),
                arrow_csv.ConvertOptions(
                    include_columns=layout.needed,
                    column_types={c: pa.float64() for c in columns},
                    decimal_point=layout.decimal_point,
                ),
            )
            for k, batch in enumerate(reader):
                append(columns, batch)
                on_progress(min(1.0, k * _BLOCK_BYTES / size), f"reading {name}")
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeError) as error:
        reason = str(error).split(". ")[0].strip()[:160]
        raise BrokenFileError(
            f"{name} cannot be read as a table of numbers: {reason}.",
            f"Choose other columns, or write numbers with a point. {choosing.found(layout.names)}",
        ) from None
    notes = [f"{broken} rows with too few or too many cells are left out."] if broken else []
    return {c: np.frombuffer(v) for c, v in columns.items()}, notes


def append(columns: dict[str, array[float]], batch: Any) -> None:
    """Take the next rows of a table, NaN where a cell is empty."""
    import pyarrow as pa

    for column, values in columns.items():
        cells = batch.column(batch.schema.get_field_index(column)).cast(pa.float64())
        values.frombytes(cells.to_numpy(zero_copy_only=False).astype(float, copy=False).tobytes())
