"""One file of a whole session: what is on screen of every page that has a file of its own, to be opened elsewhere.

A file is safetensors: the files that each part has of its own lie in it as bytes, beside a JSON header. It is no
archive, so nothing in it can unfold; nothing in it can run. Each part is checked as its own file is, and a part that an
earlier version wrote opens as that file does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.results.file_parts import bytes_of, open_content, read_file, write_file

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison
    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace
    from analysis.visual_tokens.results import VisualAnswer
    from analysis.writing.results import Writing

SCHEMA_VERSION = 2
"""2: a sweep over evictions, an answer about a picture."""
KEY = "logitscope-session"
"""Name of the header in the file."""
_FILES = {
    "run": "analysis.results.trace_file:trace",
    "tree": "analysis.writing.writing_file:writing",
    "comparison": "analysis.comparison.comparison_file:comparison",
    "sweep": "analysis.pruning_effects.eviction.sweep_file:sweep",
    "answer": "analysis.visual_tokens.answer_file:answer",
}
"""Part of a session: the module of its file, and how the names of its two functions begin."""


@dataclass(frozen=True)
class Session:
    """What was on screen; a part that was not is None."""

    run: Trace | None = None
    """With its lens, where it has one."""
    tree: Writing | None = None
    comparison: Comparison | None = None
    left_out: tuple[str, ...] = ()
    """What was on screen and has no file of its own, in words, such as "training logs"."""
    sweep: Sweep | None = None
    """Of eviction methods."""
    answer: VisualAnswer | None = None
    """About a picture, with the picture."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to save."""
        return all(getattr(self, part) is None for part in _FILES)


def save_session(session: Session, path: str | Path) -> Path:
    """Write a session to a file, completely or not at all.

    Parameters
    ----------
    session : Session
        With one part at least.
    path : str or pathlib.Path
        Target, by custom ending in ``.session``. Replaced if it exists.

    Raises
    ------
    AnalysisError
        If there is nothing to save, or the place cannot be written.
    """
    return write_file(session_bytes(session), path)


def session_bytes(session: Session) -> bytes:
    """The content of a session file.

    Raises
    ------
    AnalysisError
        If there is nothing to save.
    """
    if session.is_empty:
        raise AnalysisError("There is nothing to save yet.", "Run a text, write, or compare first.")
    held = {name: getattr(session, name) for name in _FILES}
    parts = {
        name: np.frombuffer(_of_file(name, "bytes")(part), np.uint8)
        for name, part in held.items()
        if part is not None
    }
    header = {"schema": SCHEMA_VERSION, "parts": list(parts), "left_out": list(session.left_out)}
    return bytes_of(parts, {KEY: json.dumps(header)})


def load_session(path: str | Path) -> Session:
    """Open a session file.

    Raises
    ------
    BrokenFileError
        If the file is missing, damaged, no session, or of a newer version, or one of its parts is.
    """
    data, name = read_file(path)
    return session_from_bytes(data, name)


def session_from_bytes(data: bytes, name: str = "the file") -> Session:
    """Open the content of a session file; ``name`` is for messages.

    Raises
    ------
    BrokenFileError
        As :func:`load_session`.
    """

    def parts(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        named, left_out = header["parts"], header["left_out"]
        if not named or set(named) != set(arrays) or not set(named) <= set(_FILES):
            raise ValueError("its parts are not those it names")
        if any(array.dtype != np.uint8 or array.ndim != 1 for array in arrays.values()):
            raise ValueError("a part is no file")
        if (
            not isinstance(left_out, list)
            or len(left_out) > 20
            or not all(isinstance(x, str) for x in left_out)
        ):
            raise ValueError("what was left out is no list of words")
        return {
            **{part: arrays[part].tobytes() for part in named},
            "left_out": tuple(x[:200] for x in left_out),
        }

    found = open_content(data, name, KEY, SCHEMA_VERSION, parts, what="session")
    left_out = found.pop("left_out")
    opened = {
        part: _of_file(part, "from_bytes")(content, f"the {part} in {name}")
        for part, content in found.items()
    }
    return Session(**opened, left_out=left_out)


def _of_file(part: str, ending: str) -> Any:
    """Function that writes a part as its own file's content, or opens that; imported when it is needed."""
    module, name = _FILES[part].split(":")
    return getattr(import_module(module), f"{name}_{ending}")
