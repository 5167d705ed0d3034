"""One file, whatever it is: whether it is there, what it is called, and what it holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from analysis.entropy_collapse.training.logs.console import read_console
from analysis.entropy_collapse.training.logs.csv_files import read_csv
from analysis.entropy_collapse.training.logs.databases import read_database
from analysis.entropy_collapse.training.logs.detect import Format, detect
from analysis.entropy_collapse.training.logs.event_files import read_events
from analysis.entropy_collapse.training.logs.json_logs import read_json, read_jsonl
from analysis.entropy_collapse.training.logs.mlflow_files import read_metric
from analysis.entropy_collapse.training.logs.parquet_files import read_parquet
from analysis.entropy_collapse.training.logs.raw import RawLog, Wanted
from analysis.entropy_collapse.training.logs.wandb_files import read_wandb
from analysis.errors import BrokenFileError
from analysis.paths import clean_path
from analysis.progress import Progress

PathLike = str | Path


def existing(path: PathLike) -> Path:
    """A file or folder; a path in text is taken out of blanks, quotes and ``file://``.

    Raises
    ------
    BrokenFileError
        If nothing is there, or a pipe or a device: reading those may never end.
    """
    if not _is_there(Path(path)) and isinstance(path, str):
        path = clean_path(path)
    if not _is_there(Path(path)):
        raise BrokenFileError(f"There is no file or folder at {str(path)[:200]!r}.", "Check the path.")
    return Path(path)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file() or path.is_dir()
    except (OSError, ValueError):
        return False


def label(path: Path) -> str:
    """What to call a file: a trainer's state is named after its run."""
    if path.name != "trainer_state.json":
        return path.name
    parent = path.resolve().parent
    return parent.parent.name if re.match(r"^checkpoint-\d+$", parent.name) else parent.name


def read_file(path: Path, name: str, wanted: Wanted, report: Progress) -> list[RawLog]:
    """One file, whatever it is."""
    try:
        form = detect(path, name)
        if form == "csv":
            return read_csv(path, name, wanted, report)
        if form == "database":
            return read_database(path, name, wanted, report)
        return [_READERS[form](path, name, wanted, report)]
    except OSError as error:
        raise BrokenFileError(f"{name} cannot be opened ({error.strerror}).", "Check the file.") from None


_READERS: dict[Format, Callable[[Path, str, Wanted, Progress], RawLog]] = {
    "json": read_json,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "events": read_events,
    "console": read_console,
    "metric": read_metric,
    "wandb": read_wandb,
}
