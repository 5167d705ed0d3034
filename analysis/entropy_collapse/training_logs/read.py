"""Reading training logs: any format that is known, one run or several."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.entropy_collapse.training_logs import keys as rules
from analysis.entropy_collapse.training_logs.console import read_console
from analysis.entropy_collapse.training_logs.curves import Choice, curve
from analysis.entropy_collapse.training_logs.detect import detect
from analysis.entropy_collapse.training_logs.event_files import read_events
from analysis.entropy_collapse.training_logs.folders import MAX_RUNS, groups
from analysis.entropy_collapse.training_logs.json_logs import read_json, read_jsonl
from analysis.entropy_collapse.training_logs.raw import Progress, RawLog, Wanted, wanted_keys
from analysis.entropy_collapse.training_logs.tables import read_csv, read_parquet
from analysis.entropy_collapse.training_results import Meaning, TrainingCurve
from analysis.errors import AnalysisError, BrokenFileError

PathLike = str | Path


def read_training_log(
    path_or_paths: PathLike | Sequence[PathLike],
    *,
    entropy: str | None = None,
    reward: str | None = None,
    step: str | None = None,
    name: str | None = None,
    meaning: Meaning | None = None,
    temperature: float | None = None,
    on_progress: Progress | None = None,
) -> TrainingCurve:
    """Entropy, reward and what goes with them over the steps of one run.

    Parameters
    ----------
    path_or_paths : str, pathlib.Path, or a list of them
        A file or folder: ``trainer_state.json``, a TensorBoard folder or event file, verl's
        JSONL or console log, a W&B CSV or Parquet export, any CSV, JSONL or Parquet. Several
        files are parts of one run, in that order.
    entropy, reward, step : str, optional
        Keys to use, in full or their ending after a slash; otherwise the first that is there
        in the order of :mod:`analysis.entropy_collapse.training_logs.keys`.
    name : str, optional
        Which run, where the log holds several; otherwise what to call it.
    meaning : {"per token", "estimator", "per sequence", "not known"}, optional
        What the entropy is, where you know better.
    temperature : float, optional
        Sampling temperature, kept with the curve; logs do not contain it.
    on_progress : callable, optional
        ``on_progress(share, what)``, also the place to raise
        :class:`analysis.errors.Cancelled`.

    Returns
    -------
    TrainingCurve
        Training rows; rows on held-out data are in ``evaluation``.

    Raises
    ------
    AnalysisError
        If nothing is there, the file is damaged, a key is missing (with those that were
        found), or the log holds several runs and ``name`` is none of them.
    """
    choice = Choice(entropy, reward, step, meaning, temperature)
    report = on_progress or _quiet
    if isinstance(path_or_paths, str | Path):
        curves, _ = _read(Path(path_or_paths), choice, report)
    else:
        paths = [Path(p) for p in path_or_paths]
        if not paths:
            raise AnalysisError("No file is named.", "Name one or more files.")
        wanted = wanted_keys(entropy, reward, step)
        logs = [log for path in paths for log in _raw(_existing(path), path.name, wanted, step, report)]
        curves = [curve(joined(logs), choice)]
    if len(curves) == 1:
        return replace(curves[0], name=name) if name else curves[0]
    named = [c for c in curves if c.name == name]
    if len(named) != 1:
        names = ", ".join(c.name for c in curves[:8])
        raise AnalysisError(
            f"The log holds {len(curves)} runs: {names}{' …' if len(curves) > 8 else ''}.",
            "Name one of them, or read them all with read_training_logs.",
        )
    return named[0]


def read_training_logs(
    path: PathLike,
    *,
    entropy: str | None = None,
    reward: str | None = None,
    step: str | None = None,
    meaning: Meaning | None = None,
    temperature: float | None = None,
    name: str | None = None,
    on_progress: Progress | None = None,
) -> list[TrainingCurve]:
    """Every run of a file or folder.

    Parameters
    ----------
    path, entropy, reward, step, meaning, temperature, on_progress
        As in :func:`read_training_log`.
    name : str, optional
        What to call the file in messages and as a run.

    Returns
    -------
    list of TrainingCurve
        By name; a folder's runs carry their path inside it. Files that are no logs are
        left out, and the first curve's notes say which.

    Raises
    ------
    AnalysisError
        If there is no readable run.
    """
    choice = Choice(entropy, reward, step, meaning, temperature)
    curves, skipped = _read(Path(path), choice, on_progress or _quiet, name)
    if skipped:
        more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        note = f"Left out of the folder: {'; '.join(skipped[:3])}{more}."
        curves[0] = replace(curves[0], notes=(*curves[0].notes, note))
    return curves


def _quiet(_share: float, _what: str) -> None:
    """Progress that nobody asked for."""


def _existing(path: Path) -> Path:
    try:
        there = path.is_file() or path.is_dir()  # no pipe and no device: reading them may never end
    except (OSError, ValueError):
        there = False
    if not there:
        raise BrokenFileError(f"There is no file or folder at {str(path)[:200]!r}.", "Check the path.")
    return path


def _read(
    path: Path, choice: Choice, report: Progress, name: str | None = None
) -> tuple[list[TrainingCurve], list[str]]:
    """Runs of a file or folder, and the reasons for files that are left out."""
    wanted = wanted_keys(choice.entropy, choice.reward, choice.step)
    if not _existing(path).is_dir():
        logs = _raw(path, name or _label(path), wanted, choice.step, report)
        return _curves(logs, choice), []
    found, curves, skipped = groups(path), [], []
    for k, group in enumerate(found):

        def part(share: float, what: str, k: int = k) -> None:
            report((k + share) / len(found), what)

        try:
            parts = [log for file in group.files for log in _raw(file, group.name, wanted, choice.step, part)]
            runs = separate(parts) if len(group.files) > 1 else parts
            curves += _curves(runs, choice)
        except AnalysisError as error:
            skipped.append(error.message.rstrip("."))
            if len(found) == 1:
                raise
        if len(curves) > MAX_RUNS:
            raise AnalysisError(f"{path.name} holds more than {MAX_RUNS} runs.", "Choose a folder inside it.")
    if not curves:
        raise AnalysisError(f"No training log can be read in {path.name}.", f"{'; '.join(skipped[:3])}.")
    return _once(curves, skipped), skipped


def _once(curves: list[TrainingCurve], skipped: list[str]) -> list[TrainingCurve]:
    """Curves without repetitions: a trainer may have written one run in two formats."""
    out: list[TrainingCurve] = []
    for own in curves:
        twin = next((c for c in out if _same(c, own)), None)
        if twin is None:
            out.append(own)
        else:
            skipped.append(f"{own.name} ({own.source}) has the same entropy as {twin.name}")
    return out


def _same(one: TrainingCurve, other: TrainingCurve) -> bool:
    if one.meaning != other.meaning or not np.array_equal(one.step, other.step):
        return False
    return bool(np.allclose(one.entropy, other.entropy, rtol=1e-5, atol=1e-9, equal_nan=True))


def _label(path: Path) -> str:
    """What to call a file: a trainer's state is named after its run."""
    if path.name != "trainer_state.json":
        return path.name
    parent = path.resolve().parent
    return parent.parent.name if re.match(r"^checkpoint-\d+$", parent.name) else parent.name


def _curves(logs: list[RawLog], choice: Choice) -> list[TrainingCurve]:
    """Curves of the runs that have what is asked; fails if none has."""
    curves, problem = [], None
    if len(logs) > MAX_RUNS:
        raise AnalysisError(f"{len(logs)} runs in one file.", f"Export {MAX_RUNS} or fewer.")
    for log in logs:
        try:
            curves.append(curve(log, choice))
        except AnalysisError as error:
            problem = error
    if not curves and problem is not None:
        raise problem
    return curves


def _raw(path: Path, name: str, wanted: Wanted, step: str | None, report: Progress) -> list[RawLog]:
    """One file, whatever it is."""
    try:
        form = detect(path, name)
        if form == "csv":
            return read_csv(path, name, wanted, step, report)
        if form == "parquet":
            return read_parquet(path, name, wanted, step, report)
        if form == "events":
            return [read_events(path, name, wanted, report)]
        reader = {"json": read_json, "jsonl": read_jsonl, "console": read_console}[form]
        return [reader(path, name, wanted, step, report)]
    except OSError as error:
        raise BrokenFileError(f"{name} cannot be opened ({error.strerror}).", "Check the file.") from None


def joined(logs: list[RawLog]) -> RawLog:
    """Parts of one run, in order, as one log."""
    keys = tuple(dict.fromkeys(key for log in logs for key in log.keys))
    series, empty = {}, {}
    for key in dict.fromkeys(key for log in logs for key in log.series):
        parts = [log.series[key] for log in logs if key in log.series]
        series[key] = tuple(np.concatenate([part[i] for part in parts]) for i in (0, 1))
    for key in dict.fromkeys(key for log in logs for key in log.empty):
        empty[key] = np.concatenate([log.empty[key] for log in logs if key in log.empty])
    notes = list(dict.fromkeys(note for log in logs for note in log.notes))
    first = logs[0]
    return RawLog(first.name, first.source, keys, series, empty, first.step_key, notes)  # type: ignore[arg-type]


def separate(logs: list[RawLog]) -> list[RawLog]:
    """Event files of one folder as runs.

    A file that goes on from a later step than the one before began at is a resumed run and
    is joined to it; one whose entropy begins again at the start is another run.
    """
    runs: list[list[RawLog]] = []
    for log in logs:
        if runs and not _begins_again(runs[-1][0], log):
            runs[-1].append(log)
        else:
            runs.append([log])
    out = [joined(parts) for parts in runs]
    if len(out) == 1:
        return out
    return [replace(log, name=f"{log.name} ({k + 1})") for k, log in enumerate(out)]


def _begins_again(before: RawLog, log: RawLog) -> bool:
    found = rules.find_entropy(log.series)
    if found is None or found[0] not in before.series:
        return False
    own, old = log.series[found[0]][0], before.series[found[0]][0]
    return bool(np.nanmin(own) <= np.nanmin(old))
