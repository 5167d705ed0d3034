"""Reading training logs: any format that is known, one run or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.entropy_collapse.training.logs.curves import Choice, curve
from analysis.entropy_collapse.training.logs.folders import MAX_RUNS, Group, groups
from analysis.entropy_collapse.training.logs.joining import by_run, separate
from analysis.entropy_collapse.training.logs.one_file import PathLike, existing, label, read_file
from analysis.entropy_collapse.training.logs.panels import plain_run
from analysis.entropy_collapse.training.logs.raw import RawLog, Wanted
from analysis.entropy_collapse.training.results import Meaning, TrainingCurve, distinct
from analysis.errors import AnalysisError
from analysis.progress import Progress, part, silent


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
        A file or folder, as for :func:`read_training_logs`. Several files are joined by the
        name of their run; those that name none are parts of one run, in that order.
    entropy, reward, step : str, optional
        Keys to use, in full or their ending after a slash; otherwise the first that is there
        in the order of :mod:`analysis.entropy_collapse.training.logs.keys`.
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
    curves, _ = _read(path_or_paths, choice, Wanted(entropy, reward, step), on_progress or silent)
    if len(curves) == 1:
        return replace(curves[0], name=name) if name else curves[0]
    named = [c for c in curves if name is not None and c.name in (name, plain_run(name))]
    if len(named) != 1:
        names = ", ".join(c.name for c in curves[:8])
        raise AnalysisError(
            f"The log holds {len(curves)} runs: {names}{' …' if len(curves) > 8 else ''}.",
            "Name one of them, or read them all with read_training_logs.",
        )
    return named[0]


def read_training_logs(
    path_or_paths: PathLike | Sequence[PathLike],
    *,
    entropy: str | None = None,
    reward: str | None = None,
    step: str | None = None,
    meaning: Meaning | None = None,
    temperature: float | None = None,
    name: str | Sequence[str] | None = None,
    growing: bool = False,
    on_progress: Progress | None = None,
) -> list[TrainingCurve]:
    """Every run of a file, a folder, or several files.

    Parameters
    ----------
    path_or_paths : str, pathlib.Path, or a list of them
        ``trainer_state.json``, JSONL of any trainer, what a trainer printed, TensorBoard event
        files or downloads, a W&B panel, history or offline file, MLflow's folders or database,
        Trackio's database, any CSV or Parquet; or a folder of them. Several files are joined by
        the name of their run; those that name none are parts of one run, in that order. Blanks,
        quotes and ``file://`` around a path are taken off.
    entropy, reward, step, meaning, temperature, on_progress
        As in :func:`read_training_log`.
    name : str or list of str, optional
        What to call the file in messages and as a run; one name for each of several files.
    growing : bool
        Whether the run still goes: a last line without its end is left out then.

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
    wanted = Wanted(entropy, reward, step, whole_lines=growing)
    curves, left_out = _read(path_or_paths, choice, wanted, on_progress or silent, name)
    curves[0] = replace(curves[0], notes=(*curves[0].notes, *left_out))
    return curves


def _read(
    paths: PathLike | Sequence[PathLike],
    choice: Choice,
    wanted: Wanted,
    report: Progress,
    name: str | Sequence[str] | None = None,
) -> tuple[list[TrainingCurve], list[str]]:
    """Runs of files or of a folder, and what is left out and why."""
    given = [existing(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    if not given:
        raise AnalysisError("No file is named.", "Name one or more files.")
    if len(given) == 1 and given[0].is_dir():
        return _read_folder(given[0], choice, wanted, report)
    folder = next((path for path in given if path.is_dir()), None)
    if folder is not None:
        raise AnalysisError(f"{folder.name} is a folder among files.", "Name files, or one folder.")
    names = [name] * len(given) if isinstance(name, str) else name or [label(path) for path in given]
    files = [
        read_file(path, called, wanted, part(report, k, len(given)))
        for k, (path, called) in enumerate(zip(given, names, strict=True))
    ]
    skipped: list[str] = []
    curves = _curves(files[0] if len(files) == 1 else by_run(files, wanted), choice, skipped)
    return distinct(curves), [f"Left out: {'; '.join(skipped[:3])}."] if skipped else []


def _read_folder(
    folder: Path, choice: Choice, wanted: Wanted, report: Progress
) -> tuple[list[TrainingCurve], list[str]]:
    found = groups(folder)
    curves: list[TrainingCurve] = []
    skipped: list[str] = []
    for k, group in enumerate(found):
        try:
            curves += _curves(_of_group(group, wanted, part(report, k, len(found))), choice, skipped)
        except AnalysisError as error:
            skipped.append(error.message.rstrip("."))
            if len(found) == 1:
                raise
        if len(curves) > MAX_RUNS:
            raise AnalysisError(
                f"{folder.name} holds more than {MAX_RUNS} runs.", "Choose a folder inside it."
            )
    if not curves:
        raise AnalysisError(f"No training log can be read in {folder.name}.", f"{'; '.join(skipped[:3])}.")
    curves = distinct(_once(curves, skipped))
    more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return curves, [f"Left out of the folder: {'; '.join(skipped[:3])}{more}."] if skipped else []


def _of_group(group: Group, wanted: Wanted, report: Progress) -> list[RawLog]:
    """The runs that some files of a folder hold together."""
    n = len(group.files)
    if n == 1 or group.events:
        files = [
            read_file(path, group.name, wanted, part(report, k, n)) for k, path in enumerate(group.files)
        ]
        return files[0] if n == 1 else separate([log for found in files for log in found], wanted)
    files = [read_file(path, path.name, wanted, part(report, k, n)) for k, path in enumerate(group.files)]
    return [log if log.run else replace(log, name=group.name) for log in by_run(files, wanted)]


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


def _curves(logs: list[RawLog], choice: Choice, skipped: list[str]) -> list[TrainingCurve]:
    """Curves of the runs that have what is asked; fails if none has."""
    if len(logs) > MAX_RUNS:
        raise AnalysisError(f"{len(logs)} runs in one file.", f"Export {MAX_RUNS} or fewer.")
    curves: list[TrainingCurve] = []
    problems: list[AnalysisError] = []
    for log in logs:
        try:
            curves.append(curve(log, choice))
        except AnalysisError as error:
            problems.append(error)
    if not curves and problems:
        raise problems[-1]
    skipped += [problem.message.rstrip(".") for problem in problems]
    return curves
