"""What a file is, by its content: names are only a hint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from analysis.entropy_collapse.training.logs import databases, wandb_files
from analysis.entropy_collapse.training.logs.console import is_console
from analysis.entropy_collapse.training.logs.event_files import is_event_file
from analysis.entropy_collapse.training.logs.lines import MAX_LINE_BYTES
from analysis.entropy_collapse.training.logs.mlflow_files import is_metric
from analysis.entropy_collapse.training.logs.panels import csv_header
from analysis.entropy_collapse.training.logs.printed_dicts import is_dict
from analysis.errors import BrokenFileError

Format = Literal["json", "jsonl", "csv", "parquet", "events", "console", "metric", "database", "wandb"]

_HEAD_BYTES = 1 << 16
_JSON = (".json", ".jsonl", ".ndjson")
_CONSOLE_BYTES = 1 << 23
"""A console log may print a long configuration before its first step."""
_MAGIC: dict[bytes, Format] = {
    b"PAR1": "parquet",
    databases.MAGIC: "database",
    wandb_files.MAGIC: "wandb",
}
_REFUSED = {
    b"\x80": "a Python pickle, which is never opened here",
    b"PK\x03\x04": "a zip archive or a PyTorch file, which is never opened here",
    b"\x1f\x8b": "compressed",
}


def detect(path: Path, name: str) -> Format:
    """Format of a log.

    Raises
    ------
    BrokenFileError
        If it is empty, or nothing that is read here.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    for magic, form in _MAGIC.items():
        if head.startswith(magic):
            return form
    if is_event_file(head):
        return "events"
    for magic, what in _REFUSED.items():
        if head.startswith(magic):
            raise BrokenFileError(f"{name} is {what}.", "Choose a log in JSON, CSV, Parquet, or events.")
    if b"\0" in head:
        raise BrokenFileError(f"{name} is no text in UTF-8.", "Choose a log that a trainer wrote.")
    return _text_format(path, name, head)


def _text_format(path: Path, name: str, head: bytes) -> Format:
    text = head.decode("utf-8-sig", "replace").lstrip()
    if not text:
        raise BrokenFileError(f"{name} is empty.", "Choose a log that a trainer wrote.")
    if is_metric(text):
        return "metric"
    if text[0] in "{[" and (text[0] == "{" or path.suffix != ".log") and (form := _json_format(path)):
        return form
    names, _ = csv_header(head)
    looks_like_table = len(names) > 1 and not is_console(text.partition("\n")[0])
    if path.suffix.lower() in (".csv", ".tsv") and looks_like_table:
        return "csv"
    if _is_console_file(path):
        return "console"
    if looks_like_table:
        return "csv"
    raise BrokenFileError(
        f"{name} is no log that is known here.",
        "Choose trainer_state.json, JSONL, what a trainer printed, TensorBoard events, CSV, Parquet, a W&B offline "
        "file, or a folder of MLflow or Trackio.",
    )


def _json_format(path: Path) -> Format | None:
    """One JSON value, or one a line: the first line tells, unless there is only one. None for printed dicts."""
    with path.open("rb") as file:
        line, rest = file.readline(MAX_LINE_BYTES), file.read(_HEAD_BYTES)
    text = line.decode("utf-8-sig", "replace")
    try:
        first = json.loads(text)
    except (ValueError, RecursionError):
        if is_dict(text.strip()) or (path.suffix not in _JSON and _is_console_file(path)):
            return None
        return "jsonl" if path.suffix in _JSON[1:] else "json"
    if not isinstance(first, dict):
        return "json"
    holds_rows = any(isinstance(value, list) for value in first.values())
    return "jsonl" if rest.strip() or not holds_rows else "json"


def _is_console_file(path: Path) -> bool:
    with path.open("rb") as file:
        return is_console(file.read(_CONSOLE_BYTES).decode("utf-8", "replace"))
