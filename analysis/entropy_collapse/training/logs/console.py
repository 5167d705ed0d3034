"""What trainers print: verl's ``step:12 - key:value - …``, and dicts of numbers from the others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from analysis.entropy_collapse.training.logs.bars import Bars
from analysis.entropy_collapse.training.logs.lines import lines
from analysis.entropy_collapse.training.logs.printed_dicts import is_printed_row, printed_dicts
from analysis.entropy_collapse.training.logs.raw import RawLog, Wanted
from analysis.entropy_collapse.training.logs.rows import Rows, number
from analysis.errors import BrokenFileError
from analysis.progress import Progress

_STEP_LINE = re.compile(r"(?:^|\s)step:(\d+) - (.+)")
_PAIR = re.compile(r"^(.+?):(?:np\.\w+\()?([-+]?(?:[0-9][0-9.eE+-]*|nan|inf))\)?$")
"""A key and its number; newer numpy prints ``np.float64(0.5)``."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LOSS_AGG_MODE = re.compile(r"loss_agg_mode['\"]?\s*[:=]\s*['\"]?([a-z]+(?:-[a-z]+)+)")


def is_console(text: str) -> bool:
    """Whether a text has a line that a trainer prints at a step."""
    return any(
        _STEP_LINE.search(line) or any(is_printed_row(row) for _, row in printed_dicts(line))
        for line in _screen_lines(text.split("\n"))
    )


def parse_line(line: str) -> dict[str, float] | None:
    """Numbers of one line of verl's console; None if it is another line."""
    found = _STEP_LINE.search(line)
    if found is None:
        return None
    row = {"step": float(found[1])}
    for part in found[2].split(" - "):
        pair = _PAIR.match(part.strip())
        value = number(pair[2]) if pair else None
        if pair is not None and value is not None:
            row[pair[1]] = value
    return row


def read_console(path: Path, name: str, wanted: Wanted, on_progress: Progress) -> RawLog:
    """Everything that a trainer printed, with whatever else is between.

    A printed dict has the step that stands before it (``rollout 7: {…}``), else its own, else
    that of the progress bar drawn after it, else the number of its row.

    Raises
    ------
    BrokenFileError
        If no line is one of a trainer's.
    """
    verl, dicts, bars, mode = Rows(wanted), Rows(wanted), Bars(), ""
    for line in _screen_lines(lines(path, name, wanted, on_progress)):
        row = parse_line(line)
        if row is not None:
            verl.add(row)
            continue
        if "loss_agg_mode" in line and (said := _LOSS_AGG_MODE.search(line)):
            mode = said[1]
        for label, printed in printed_dicts(line):
            if is_printed_row(printed):
                bars.row(dicts.n)
                dicts.add(printed, label)
        bars.take(line)
    if verl.n:
        log = verl.log(name, "verl console log")
    elif dicts.n:
        bars.counted(dicts)
        log = dicts.log(name, "printed dicts")
    else:
        raise BrokenFileError(
            f"{name} has no line of the form 'step:12 - key:value - …', and no printed dict of numbers.",
            "Choose a log.",
        )
    log.loss_agg_mode = mode
    return log


def _screen_lines(text: Iterator[str] | list[str]) -> Iterator[str]:
    """Lines as a screen shows them: without colours, and apart where a progress bar drew over one."""
    for line in text:
        for part in line.split("\r"):
            if part.strip():
                yield _COLOURS.sub("", part)
