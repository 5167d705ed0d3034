"""SQLite files of Trackio and of MLflow, opened to be read and nothing else."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.entropy_collapse.training.logs.raw import RawLog, Wanted
from analysis.entropy_collapse.training.logs.rows import Rows
from analysis.errors import AnalysisError, BrokenFileError
from analysis.progress import Progress

MAGIC = b"SQLite format 3\0"
_REPORT_ROWS = 2_000
_WAIT_MILLISECONDS = 2_000
_INFINITE = sys.float_info.max
"""What MLflow keeps for an infinite value."""
_TRACKIO = {"run_name", "step", "metrics"}
_MLFLOW = {"key", "value", "timestamp", "run_uuid", "step"}


def read_database(path: Path, name: str, wanted: Wanted, on_progress: Progress) -> list[RawLog]:
    """The runs of a database, one each.

    Trackio keeps a JSON object a row in its table ``metrics``, MLflow a value a row.

    Raises
    ------
    BrokenFileError
        If it is damaged, or has no such table.
    AnalysisError
        If a writer holds it for longer than two seconds.
    """
    try:
        with _opened(path) as connection:
            columns = _columns(connection)
            if columns >= _TRACKIO:
                return _trackio(connection, name, wanted, columns, on_progress)
            if columns >= _MLFLOW:
                return _mlflow(connection, name, wanted, on_progress)
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise AnalysisError(
                f"{name} is locked by the program that writes it.", "Read it again."
            ) from None
        raise BrokenFileError(f"{name} cannot be read ({error}).", "Copy the database again.") from None
    except (sqlite3.DatabaseError, UnicodeError) as error:
        raise BrokenFileError(f"{name} is damaged ({error}).", "Copy the database again.") from None
    raise BrokenFileError(
        f"{name} is a SQLite database without the table of Trackio or MLflow.",
        "Choose Trackio's <project>.db or MLflow's mlflow.db.",
    )


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write; a write-ahead log that lies beside is read along where it can be."""
    address = path.resolve().as_uri()
    with closing(_connected(f"{address}?mode=ro")) as connection:
        try:
            _columns(connection)
        except sqlite3.OperationalError as error:
            if "unable to open" not in str(error):
                raise
        else:
            yield connection
            return
    with closing(_connected(f"{address}?mode=ro&immutable=1")) as connection:
        yield connection


def _connected(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(address, uri=True, timeout=_WAIT_MILLISECONDS / 1000)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA query_only = ON")
    return connection


def _columns(connection: sqlite3.Connection) -> set[str]:
    """Columns of the table ``metrics``; a view of that name does not count."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'metrics'")
    if tables.fetchone() is None:
        return set()
    return {row[1] for row in connection.execute("PRAGMA table_info(metrics)")}


def _trackio(
    connection: sqlite3.Connection, name: str, wanted: Wanted, columns: set[str], on_progress: Progress
) -> list[RawLog]:
    """Trackio's own step counts calls of ``log``, as W&B's ``_step``: a trainer's counter goes before it."""
    project = "project_name" if "project_name" in columns else "''"
    run_id = "run_id" if "run_id" in columns else "run_name"
    time = "timestamp" if "timestamp" in columns else "NULL"
    runs: dict[tuple[Any, ...], Rows] = {}
    broken = 0
    query = f"SELECT {project}, run_name, {run_id}, step, {time}, metrics FROM metrics ORDER BY rowid"
    for *run, step, stamp, text in _rows(connection, query, name, on_progress):
        try:
            metrics = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            metrics = None
        if not isinstance(metrics, dict):
            broken += 1
            continue
        runs.setdefault(tuple(run), Rows(wanted)).add(
            metrics | {"_step": step, "_timestamp": _seconds(stamp)}
        )
    notes = [f"{broken} rows of the database are no JSON objects and left out."] if broken else []
    return _named({run: rows.log(name, "Trackio", notes) for run, rows in runs.items()}, name)


def _seconds(stamp: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except ValueError:
        return None


def _mlflow(connection: sqlite3.Connection, name: str, wanted: Wanted, on_progress: Progress) -> list[RawLog]:
    names: dict[str, str] = {}
    if connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'runs'").fetchone():
        names = dict(connection.execute("SELECT run_uuid, name FROM runs"))
    keys = [str(row[0]) for row in connection.execute("SELECT DISTINCT key FROM metrics")]
    nan = "is_nan" if "is_nan" in _columns(connection) else "0"
    runs: dict[str, Rows] = {}
    query = f"SELECT run_uuid, key, value, timestamp, step, {nan} FROM metrics ORDER BY timestamp, step"
    for run, key, value, stamp, step, is_nan in _rows(connection, query, name, on_progress):
        if run not in runs:
            runs[run] = Rows(wanted)
            runs[run].mention(keys)
        if wanted(key):
            number = None if is_nan or abs(value) >= _INFINITE else value  # MLflow keeps 0 for NaN
            runs[run].add({key: number, "step": step, "_timestamp": stamp / 1000})
    logs = {("", names.get(run) or run, run): rows.log(name, "MLflow") for run, rows in runs.items()}
    return _named(logs, name)


def _rows(connection: sqlite3.Connection, query: str, name: str, on_progress: Progress) -> Iterator[Any]:
    n = max(1, connection.execute("SELECT COUNT(*) FROM metrics").fetchone()[0])
    for k, row in enumerate(connection.execute(query)):
        if k % _REPORT_ROWS == 0:
            on_progress(min(1.0, k / n), f"reading {name}")
        yield row


def _named(logs: dict[tuple[Any, ...], RawLog], name: str) -> list[RawLog]:
    """Runs under their own names; several of one name are told apart by a number."""
    if not logs:
        raise BrokenFileError(f"{name} holds no values.", "Choose a database that a run was logged to.")
    out: list[RawLog] = []
    for (project, run, _), log in logs.items():
        title = f"{project}/{run}" if len({key[0] for key in logs}) > 1 else str(run)
        taken = sum(other.run == title for other in out)
        out.append(replace(log, name=f"{title} ({taken + 1})" if taken else title, run=title))
    return out
