"""Arguments, texts and files as commands take and give them."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import AnalysisError, InvalidTextError
from analysis.paths import clean_path


def positive(text: str) -> int:
    """Whole number of at least 1, for ``type=`` of an argument."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def read_text(source: str) -> str:
    """Text of a UTF-8 file, or of standard input for ``-``; without byte order mark, with its line ends as they are.

    Raises
    ------
    AnalysisError
        If there is no such file, or it is not UTF-8.
    """
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(clean_path(source)).read_bytes()
        return data.decode("utf-8-sig")  # a model reads line ends too
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise InvalidTextError(
                f"The text is not UTF-8 (byte {error.start:,}).",
                "Convert it, for example with iconv -t UTF-8.",
            ) from None
        reason = getattr(error, "strerror", None) or str(error)
        raise AnalysisError(
            f"{source} cannot be read ({reason}).", "Check the path, or give - for standard input."
        ) from None


def require_folder(output: Path) -> None:
    """Refuse a file that cannot be written, before the minutes of computing.

    Raises
    ------
    AnalysisError
        If the path is a folder or lies in none.
    """
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise AnalysisError(f"{output} cannot be written.", "Name a file in a folder that exists.")


def write(output: Path, save: Callable[[Path], object]) -> None:
    """Call ``save(output)``; a file that cannot be written is a problem with a hint.

    Raises
    ------
    AnalysisError
        If the file cannot be written.
    """
    require_folder(output)
    try:
        save(output)
    except OSError as error:
        raise AnalysisError(
            f"{output} cannot be written ({error.strerror}).", "Choose another place."
        ) from None


def plain(text: str) -> str:
    """Text from a file, with everything escaped that could steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def for_json(value: Any) -> Any:
    """Numbers of numpy as those of Python, and what is not a finite number as null, however deep."""
    if isinstance(value, dict):
        return {str(key): for_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [for_json(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
