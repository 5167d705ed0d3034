"""Logs in JSON: the trainer's state, lists of rows, and a row a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.entropy_collapse.training.logs.lines import lines
from analysis.entropy_collapse.training.logs.raw import RawLog, Wanted
from analysis.entropy_collapse.training.logs.rows import Rows
from analysis.errors import BrokenFileError
from analysis.progress import Progress

MAX_JSON_BYTES = 200_000_000
"""A file that is one JSON value has to be taken whole; rows in lines are streamed."""
_LISTS = {"log_history": "TRL trainer_state.json", "logs": "results JSON", "history": "results JSON"}
_REPORT_LINES = 500


def read_json(path: Path, name: str, wanted: Wanted, on_progress: Progress) -> RawLog:
    """One JSON value: ``trainer_state.json``, hyperfitting's ``results.json``, or a list of rows.

    Raises
    ------
    BrokenFileError
        If it is cut short, too large, or holds no list of rows.
    """
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise BrokenFileError(
            f"{name} is one JSON value of {size / 1e6:.0f} MB.", "Write it as JSONL, one row a line."
        )
    on_progress(0.0, f"reading {name}")
    try:
        data = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BrokenFileError(
            f"{name} is cut short or no valid JSON ({_where(error)}).",
            "Copy it again; of a trainer, an older checkpoint's trainer_state.json may be whole.",
        ) from None
    source, rows = _rows_of(data, name)
    on_progress(0.5, f"reading {name}")
    collected = Rows(wanted)
    for k, row in enumerate(rows):
        if isinstance(row, dict):
            collected.add(row)
        if k % _REPORT_LINES == 0:
            on_progress(0.5 + 0.5 * k / len(rows), f"reading {name}")
    return collected.log(name, source)


def _where(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}: {error.msg}"
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else "nested too deeply or a broken number"


def _rows_of(data: Any, name: str) -> tuple[str, list[Any]]:
    if isinstance(data, list):
        return "JSON rows", data
    if isinstance(data, dict):
        for key, source in _LISTS.items():
            if isinstance(data.get(key), list):
                return source, data[key]
    inside = f"It holds: {', '.join(str(k)[:40] for k in list(data)[:12])}." if isinstance(data, dict) else ""
    raise BrokenFileError(
        f"{name} holds no list of rows (log_history, logs, or a list).",
        f"Choose a log that a trainer wrote. {inside}".strip(),
    )


def read_jsonl(path: Path, name: str, wanted: Wanted, on_progress: Progress) -> RawLog:
    """A row a line; verl's file logger writes ``{"step": n, "data": {...}}``.

    Lines that are no JSON are left out and counted, so that a log that was cut short, or
    is still being written, is read as far as it goes.

    Raises
    ------
    BrokenFileError
        If no line is a JSON object, or a line is longer than any row.
    """
    collected, broken, last_broken, verl = Rows(wanted), 0, False, False
    for line in lines(path, name, wanted, on_progress):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        last_broken = not isinstance(row, dict)
        if isinstance(row, dict):
            verl = verl or isinstance(row.get("data"), dict)
            collected.add(row)
        else:
            broken += 1
    if not collected.n:
        raise BrokenFileError(f"{name} has no line that is a JSON object.", "Choose a log with a row a line.")
    notes = []
    if broken == 1 and last_broken:
        notes.append("The last line is cut short and left out.")
    elif broken:
        notes.append(f"{broken} of {broken + collected.n} lines are no JSON rows and left out.")
    return collected.log(name, "verl JSONL" if verl else "JSONL", notes)
