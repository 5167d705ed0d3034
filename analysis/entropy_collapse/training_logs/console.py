"""verl's console log: ``step:12 - actor/entropy:0.41 - critic/score/mean:0.3 - …``."""

from __future__ import annotations

import re
from pathlib import Path

from analysis.entropy_collapse.training_logs.json_logs import lines
from analysis.entropy_collapse.training_logs.raw import Progress, RawLog, Rows, Wanted
from analysis.errors import BrokenFileError

STEP_LINE = re.compile(r"(?:^|\s)step:(\d+) - (.+)")
_PAIR = re.compile(r"^(.+?):(?:np\.\w+\()?([-+]?(?:[0-9][0-9.eE+-]*|nan|inf))\)?$")
"""A key and its number; newer numpy prints ``np.float64(0.5)``."""


def parse_line(line: str) -> dict[str, float] | None:
    """Numbers of one line of the console; None if it is another line."""
    found = STEP_LINE.search(line)
    if found is None:
        return None
    row = {"step": float(found[1])}
    for part in found[2].split(" - "):
        pair = _PAIR.match(part.strip())
        if pair is None:
            continue
        try:
            row[pair[1]] = float(pair[2])
        except ValueError:
            continue
    return row


def read_console(path: Path, name: str, wanted: Wanted, step: str | None, on_progress: Progress) -> RawLog:
    """Everything that verl printed, with whatever else is between.

    Raises
    ------
    BrokenFileError
        If no line is one of verl's.
    """
    collected = Rows(wanted)
    for text in lines(path, name, on_progress):
        for line in text.split("\r"):  # a progress bar shares the line
            row = parse_line(line)
            if row is not None:
                collected.add(row)
    if not collected.n:
        raise BrokenFileError(f"{name} has no line of the form 'step:12 - key:value - …'.", "Choose a log.")
    return collected.log(name, "verl console log", step)
