"""The runs in a folder: which files belong together, and which are no logs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import AnalysisError

MAX_FILES = 20_000
MAX_RUNS = 64
_ENDINGS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".log", ".out", ".txt")
_CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")


@dataclass(frozen=True)
class Group:
    """Files of one run, oldest first."""

    name: str
    files: tuple[Path, ...]
    expected: bool
    """Whether the names say that these are logs, and not any table or text."""


def groups(folder: Path) -> list[Group]:
    """What may be runs below a folder.

    Checkpoints of a trainer hold the same history, longer each time: the newest is taken.
    Event files side by side belong together.

    Raises
    ------
    AnalysisError
        If the folder has more files than a folder of logs, or nothing that may be a log.
    """
    states: dict[Path, tuple[float, Path]] = {}
    events: dict[Path, list[Path]] = {}
    others: list[Path] = []
    for path in _files(folder):
        if path.name == "trainer_state.json":
            checkpoint = _CHECKPOINT.match(path.parent.name)
            root = path.parent.parent if checkpoint else path.parent
            order = float(checkpoint[1]) if checkpoint else float("inf")  # beside them: written at the end
            states[root] = max(states.get(root, (-1.0, path)), (order, path))
        elif "tfevents" in path.name:
            events.setdefault(path.parent, []).append(path)
        elif path.suffix.lower() in _ENDINGS or path.name in ("results.json", "trainer_log.json"):
            others.append(path)
    found = [Group(_name(root, folder), (state,), True) for root, (_, state) in states.items()]
    found += [Group(_name(parent, folder), tuple(sorted(files)), True) for parent, files in events.items()]
    found += [Group(_name(path, folder), (path,), False) for path in others]
    if not found:
        raise AnalysisError(
            f"{folder.name} holds no file that looks like a training log.",
            "Choose a folder with trainer_state.json, event files, JSONL, CSV or Parquet.",
        )
    return sorted(found, key=lambda group: group.name)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path != folder else folder.resolve().name


def _files(folder: Path) -> list[Path]:
    out: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        out += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        if len(out) > MAX_FILES:
            raise AnalysisError(
                f"{folder.name} holds more than {MAX_FILES:,} files.", "Choose the folder of one experiment."
            )
    return [path for path in out if path.is_file()]
