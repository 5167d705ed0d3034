"""CSV and Parquet tables, W&B exports among them. Streamed: only the needed columns are kept."""

from __future__ import annotations

import csv
import io
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from analysis.entropy_collapse.training_logs import keys as rules
from analysis.entropy_collapse.training_logs.raw import Progress, RawLog, Wanted, by_rows
from analysis.errors import AnalysisError, BrokenFileError

_BLOCK_BYTES = 1 << 22
_HEAD_BYTES = 1 << 20


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


def read_csv(path: Path, name: str, wanted: Wanted, step: str | None, on_progress: Progress) -> list[RawLog]:
    """A CSV table: one run, or for a W&B panel export one for each run in its column names.

    Raises
    ------
    AnalysisError
        If a needed column holds text, or a name appears twice.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    with path.open("rb") as file:
        names, delimiter = csv_header(file.read(_HEAD_BYTES))
    metrics = {column: _metric(column) for column in names}
    needed = [c for c, (_, key) in metrics.items() if wanted(key) or wanted(c)]
    twice = next((c for c in needed if names.count(c) > 1), None)
    if twice is not None:
        raise AnalysisError(f"{name} has two columns named {twice!r}.", "Rename one of them.")
    if not needed:
        return _runs(names, {}, np.array([0]), name, "CSV", step, [])
    broken = 0

    def leave_out(_row: Any) -> str:
        nonlocal broken
        broken += 1
        return "skip"

    columns: dict[str, array[float]] = {c: array("d") for c in needed}
    size = max(1, path.stat().st_size)
    try:
        reader = arrow_csv.open_csv(
            path,
            arrow_csv.ReadOptions(block_size=_BLOCK_BYTES),
            arrow_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=leave_out),
            arrow_csv.ConvertOptions(include_columns=needed, column_types={c: pa.float64() for c in needed}),
        )
        for k, batch in enumerate(reader):
            _append(columns, batch)
            on_progress(min(1.0, k * _BLOCK_BYTES / size), f"reading {name}")
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeError) as error:
        reason = str(error).split(". ")[0].strip()[:160]
        raise BrokenFileError(
            f"{name} cannot be read as a table of numbers: {reason}.",
            f"Choose other columns, or write numbers with a point. {rules.found(names)}",
        ) from None
    notes = [f"{broken} rows with too few or too many cells are left out."] if broken else []
    values = {c: np.frombuffer(v) for c, v in columns.items()}
    return _runs(names, values, np.arange(len(values[needed[0]])), name, "CSV", step, notes)


def read_parquet(
    path: Path, name: str, wanted: Wanted, step: str | None, on_progress: Progress
) -> list[RawLog]:
    """A Parquet table, such as the history artifact of a W&B run.

    Raises
    ------
    BrokenFileError
        If the file is damaged.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            numeric = [
                f.name
                for f in file.schema_arrow
                if pa.types.is_integer(f.type) or pa.types.is_floating(f.type) or pa.types.is_boolean(f.type)
            ]
            columns: dict[str, array[float]] = {c: array("d") for c in numeric if wanted(c)}
            n_rows, done = max(1, file.metadata.num_rows), 0
            for batch in file.iter_batches(1 << 16, columns=list(columns)) if columns else ():
                _append(columns, batch)
                done += batch.num_rows
                on_progress(done / n_rows, f"reading {name}")
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split(". ")[0].strip()[:120]
        raise BrokenFileError(f"{name} is damaged or cut short ({reason}).", "Copy it again.") from None
    values = {c: np.frombuffer(v) for c, v in columns.items()}
    source = "W&B history" if "_step" in numeric else "Parquet"
    return _runs(numeric, values, np.arange(done), name, source, step, [])


def _append(columns: dict[str, array[float]], batch: Any) -> None:
    import pyarrow as pa

    for column, values in columns.items():
        cells = batch.column(batch.schema.get_field_index(column)).cast(pa.float64())
        values.frombytes(cells.to_numpy(zero_copy_only=False).astype(float, copy=False).tobytes())


def _metric(column: str) -> tuple[str, str]:
    """Run and metric of a W&B panel's column ``run - metric``; no run for any other column."""
    run, dash, metric = column.rpartition(" - ")
    return (run, metric) if dash and not metric.endswith(("__MIN", "__MAX", "__STEP")) else ("", column)


def _runs(
    names: list[str],
    values: dict[str, np.ndarray],
    rows: np.ndarray,
    name: str,
    source: str,
    step: str | None,
    notes: list[str],
) -> list[RawLog]:
    """Columns with row numbers as one run, or as one for each run that the names tell."""
    by_run: dict[str, dict[str, str]] = {}
    for column in names:
        run, metric = _metric(column)
        if run:
            by_run.setdefault(run, {})[metric] = column
    if not by_run or source != "CSV":
        return [_run(dict(zip(names, names, strict=True)), values, rows, name, source, step, notes)]
    shared = {c: c for c in names if not _metric(c)[0] and not c.endswith(("__MIN", "__MAX", "__STEP"))}
    notes = [*notes, "A W&B panel exports at most a sample of a long run's rows."]
    return [_run(shared | own, values, rows, run, "W&B CSV", step, notes) for run, own in by_run.items()]


def _run(
    columns: dict[str, str],
    values: dict[str, np.ndarray],
    rows: np.ndarray,
    name: str,
    source: str,
    step: str | None,
    notes: list[str],
) -> RawLog:
    kept = {key: values[c] for key, c in columns.items() if c in values}
    known = {key: ~np.isnan(v) for key, v in kept.items()}
    return by_rows(
        name,
        source,
        tuple(columns),
        {key: v[known[key]] for key, v in kept.items()},
        {key: rows[known[key]] for key in kept},
        {key: rows[~known[key]] for key in kept if not key.startswith("_")},
        len(rows),
        step,
        notes,
    )
