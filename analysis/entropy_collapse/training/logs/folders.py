"""The runs in a folder: which files belong together, and which are no logs."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.entropy_collapse.training.logs import mlflow_files
from analysis.entropy_collapse.training.logs.panels import NAMELESS, dashboard_export, download_tag
from analysis.errors import AnalysisError

MAX_FILES = 20_000
MAX_RUNS = 64
_ENDINGS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".log", ".out", ".txt", ".db", ".sqlite")
_CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")
_OFFLINE = ".wandb"
_BESIDE_OFFLINE = ("files", "logs", "tmp")
_HEAD_BYTES = 200


@dataclass(frozen=True)
class Group:
    """Files of one run, oldest first."""

    name: str
    files: tuple[Path, ...]
    events: bool = False
    """Whether they are event files: the same steps in two of them are two runs."""


def groups(folder: Path) -> list[Group]:
    """What may be runs below a folder.

    Checkpoints of a trainer hold the same history, longer each time: the newest is taken.
    Event files side by side belong together, and so do MLflow's files of one run, exported
    panels, and downloaded metrics of one run. What an offline run of W&B keeps beside its
    history, such as what it printed, is not looked at.

    Raises
    ------
    AnalysisError
        If the folder has more files than a folder of logs, or nothing that may be a log.
    """
    states: dict[Path, tuple[float, Path]] = {}
    events: dict[Path, list[Path]] = {}
    metrics: dict[Path, list[Path]] = {}
    others: list[Path] = []
    paths = files_below(folder)
    beside = {path.parent / name for path in paths if path.suffix == _OFFLINE for name in _BESIDE_OFFLINE}
    for path in paths:
        if beside.intersection(path.parents):
            continue
        if path.name == "trainer_state.json":
            checkpoint = _CHECKPOINT.match(path.parent.name)
            root = path.parent.parent if checkpoint else path.parent
            order = float(checkpoint[1]) if checkpoint else float("inf")  # beside them: written at the end
            states[root] = max(states.get(root, (-1.0, path)), (order, path))
        elif "tfevents" in path.name:
            events.setdefault(path.parent, []).append(path)
        elif path.suffix.lower() in (*_ENDINGS, _OFFLINE) or path.name in (
            "results.json",
            "trainer_log.json",
        ):
            others.append(path)
        elif (run := mlflow_files.run_folder(path)) is not None and _is_metric_file(path):
            metrics.setdefault(run, []).append(path)
    found = [Group(_name(root, folder), (state,)) for root, (_, state) in states.items()]
    found += [Group(_name(parent, folder), tuple(sorted(files)), True) for parent, files in events.items()]
    found += [Group(_name(run, folder), tuple(sorted(files))) for run, files in metrics.items()]
    for places in belong_together(others):
        files = [others[k] for k in places]
        found.append(Group(_name(files[0], folder), tuple(files)))
    if not found:
        raise AnalysisError(
            f"{folder.name} holds no file that looks like a training log.",
            "Choose a folder with trainer_state.json, event files, JSONL, CSV, Parquet, or runs of MLflow, Trackio "
            "or W&B.",
        )
    return sorted(found, key=lambda group: group.name)


def belong_together(paths: Sequence[Path], names: Sequence[str] | None = None) -> list[list[int]]:
    """Which of several files hold parts of the same runs: exports of a dashboard, a metric each.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        Files.
    names : sequence of str, optional
        What they were called, where they lie under other names.

    Returns
    -------
    list of list of int
        Places in ``paths``. W&B's panels side by side share their runs. TensorBoard's
        downloads belong together by the run in their names; without one, if no metric is
        there twice. Every other file stays alone.
    """
    names = [path.name for path in paths] if names is None else names
    found: dict[tuple[Path, str], list[int]] = {}
    for k, (path, name) in enumerate(zip(paths, names, strict=True)):
        export = dashboard_export(path, name)
        found.setdefault((path.parent, export) if export else (path, ""), []).append(k)
    out: list[list[int]] = []
    for (_, export), places in found.items():
        tags = {download_tag(names[k]) for k in places}
        out += [[k] for k in places] if export == NAMELESS and len(tags) < len(places) else [places]
    return out


def _is_metric_file(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return mlflow_files.is_metric(file.read(_HEAD_BYTES).decode("utf-8", "replace"))
    except OSError:
        return False


def _name(path: Path, folder: Path) -> str:
    """The path inside the folder; the folder's own name for itself and for what it lies in."""
    return path.relative_to(folder).as_posix() if folder in path.parents else folder.resolve().name


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder that is not hidden, in a fixed order.

    Raises
    ------
    AnalysisError
        If it has more than a folder of logs.
    """
    out: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        out += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        if len(out) > MAX_FILES:
            raise AnalysisError(
                f"{folder.name} holds more than {MAX_FILES:,} files.", "Choose the folder of one experiment."
            )
    return [path for path in out if path.is_file()]
