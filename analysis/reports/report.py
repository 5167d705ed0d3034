"""A report of whatever result there is, and of the file that holds it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from analysis.errors import BrokenFileError
from analysis.reports.page import Report
from analysis.results.file_parts import header_of, read_file, short
from analysis.units import Unit


@dataclass(frozen=True)
class _Kind:
    """A result that has a report; its modules are imported when one is asked for."""

    result: str
    """Module and class."""
    make: str
    """Module and function that makes the report."""
    key: str
    """Name of the header in its file."""
    opens: str
    """Module and function that opens a file's content."""


_KINDS = (
    _Kind(
        "analysis.results.trace:Trace",
        "analysis.reports.run:run_report",
        "logitscope",
        "analysis.results.trace_file:trace_from_bytes",
    ),
    _Kind(
        "analysis.comparison.results:Comparison",
        "analysis.reports.compared:comparison_report",
        "logitscope-comparison",
        "analysis.comparison.comparison_file:comparison_from_bytes",
    ),
    _Kind(
        "analysis.writing.results:Writing",
        "analysis.reports.written:writing_report",
        "logitscope-writing",
        "analysis.writing.writing_file:writing_from_bytes",
    ),
    _Kind(
        "analysis.visual_tokens.results:VisualAnswer",
        "analysis.reports.answered:answer_report",
        "logitscope-look",
        "analysis.visual_tokens.answer_file:answer_from_bytes",
    ),
    _Kind(
        "analysis.pruning_effects.eviction.results:Sweep",
        "analysis.reports.swept:sweep_report",
        "logitscope-sweep",
        "analysis.pruning_effects.eviction.sweep_file:sweep_from_bytes",
    ),
)


def report(result: Any, *, unit: Unit = "nats") -> Report:
    """A result as one HTML file: pictures that share the chosen token, numbers, checks and settings.

    The file needs no server and no network, and has a light and a dark form and one for paper.

    Parameters
    ----------
    result : Trace, Comparison, Writing, VisualAnswer or sweep over evictions
        What was measured.
    unit : {"nats", "bits"}
        Unit of information.

    Returns
    -------
    Report
        ``report(trace).save("run.html")`` writes it.

    Raises
    ------
    TypeError
        If there is no report of such a result.
    """
    for kind in _KINDS:
        if isinstance(result, _named(kind.result)):
            made: Report = _named(kind.make)(result, unit=unit)
            return made
    raise TypeError(f"there is no report of a {type(result).__name__}")


def open_result(path: str | Path) -> Any:
    """What a file holds, of any kind that has a report.

    Raises
    ------
    BrokenFileError
        If the file is missing, damaged, of a newer version, or of another kind.
    """
    data, name = read_file(path)
    for kind in _KINDS:
        if _has_header(data, kind.key):
            return _named(kind.opens)(data, name)
    raise BrokenFileError(f"{short(name)} is not a file of a result.", "Choose a file that was saved here.")


def _has_header(data: bytes, key: str) -> bool:
    try:
        header_of(data, key)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return True


def _named(path: str) -> Any:
    module, name = path.split(":")
    return getattr(import_module(module), name)
