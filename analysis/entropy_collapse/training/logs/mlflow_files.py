"""MLflow's folders: a file a metric, a line a value, ``milliseconds value step``."""

from __future__ import annotations

import re
from array import array
from pathlib import Path

import numpy as np

from analysis.entropy_collapse.training.logs.lines import lines
from analysis.entropy_collapse.training.logs.raw import STEP_OF_THE_VALUE, RawLog, Series, Wanted
from analysis.entropy_collapse.training.logs.rows import number
from analysis.entropy_collapse.training.logs.time_order import time_order
from analysis.errors import BrokenFileError
from analysis.progress import Progress

FOLDER = "metrics"
_META = "meta.yaml"
_LINE = re.compile(r"^\d{10,16} [-+\w.]+ \d+(?: .*)?$")
_RUN_NAME = re.compile(r"^run_name:\s*['\"]?(.*?)['\"]?\s*$", re.MULTILINE)
_MAX_META_BYTES = 1 << 16


def is_metric(text: str) -> bool:
    """Whether a text begins with a line of a metric file."""
    return bool(_LINE.match(text.lstrip().partition("\n")[0].rstrip("\r")))


def run_folder(path: Path) -> Path | None:
    """The folder of the run that a metric file belongs to; None if it lies in no ``metrics``."""
    folders = [parent.parent for parent in path.parents if parent.name == FOLDER]
    described = (folder for folder in folders if (folder / _META).is_file())
    return next(described, next(iter(folders), None))


def run_name(folder: Path) -> str:
    """The name that MLflow keeps for a run; "" if there is none."""
    try:
        with (folder / _META).open("rb") as file:
            found = _RUN_NAME.search(file.read(_MAX_META_BYTES).decode("utf-8", "replace"))
    except OSError:
        return ""
    return found[1] if found else ""


def read_metric(path: Path, name: str, wanted: Wanted, on_progress: Progress) -> RawLog:
    """One metric of a run. Its key is the path below ``metrics``.

    Raises
    ------
    BrokenFileError
        If no line is a value.
    """
    folder = run_folder(path)
    key = path.relative_to(folder / FOLDER).as_posix() if folder else path.name
    steps, values, times, orders = array("d"), array("d"), array("d"), array("q")
    broken = moment = 0
    for line in lines(path, name, wanted, on_progress):
        parts = line.split(" ")
        value = number(parts[1]) if _LINE.match(line) else None
        if value is None:
            broken += 1
            continue
        seconds = float(parts[0]) / 1000
        moment = max(moment + 1, time_order(seconds))
        times.append(seconds)
        values.append(value)
        steps.append(float(parts[2]))
        orders.append(moment)
    if not len(values):
        raise BrokenFileError(f"{name} has no line of the form 'milliseconds value step'.", "Choose a log.")
    step, order = np.frombuffer(steps), np.frombuffer(orders, np.int64)
    series = {key: Series(step, np.frombuffer(values), order, STEP_OF_THE_VALUE)}
    if key == wanted.entropy_key([key]):
        series["wall time"] = Series(step, np.frombuffer(times), order, STEP_OF_THE_VALUE)
    notes = [f"{broken} lines of {key} are no values and left out."] if broken else []
    run = run_name(folder) if folder else ""
    return RawLog(name, "MLflow", (key,), series, {}, notes, run=run, clocked=True)
