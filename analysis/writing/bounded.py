"""Code of a checkpoint that may never end runs a bounded number of lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

MOST_LINES = 1_000_000
"""A second of a template, about; a message takes some ten lines."""
TEMPLATE = "<template>"
"""What jinja2 calls the file of a template that came as a text."""


class EndlessTemplateError(Exception):
    """A template ran more lines than it may."""


@contextmanager
def bounded_lines(most: int = MOST_LINES) -> Iterator[None]:
    """Let templates run in this thread as long as they take at most so many lines.

    Parameters
    ----------
    most : int
        Lines of the code that jinja2 makes of templates, macros and loops counted as often as they run.

    Raises
    ------
    EndlessTemplateError
        From the line that is one too many.

    Notes
    -----
    jinja2's sandbox bounds each ``range`` and nothing else, and a thread cannot be ended from outside. What traces
    this thread already, such as a debugger, has a pause.
    """
    n_lines = 0

    def line(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal n_lines
        n_lines += event == "line"
        if n_lines > most:
            raise EndlessTemplateError(f"more than {most:,} lines")
        return line

    def call(frame: FrameType, _event: str, _argument: Any) -> Any:
        return line if frame.f_code.co_filename == TEMPLATE else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)
