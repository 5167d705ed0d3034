"""Dicts of numbers in the output of a program, as Python or JSON prints them, and the step before them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from analysis.entropy_collapse.training.logs.rows import flat, number

_MAX_DICT = 1_000_000
"""Characters; a longer one is no row of a log."""
_MAX_LINE = 4 * _MAX_DICT
_MAX_DEPTH = 30
"""Braces inside braces."""
_MAX_STARTS = 8
"""Braces of one line that are tried: text in between may have some that never close."""
_LABEL = re.compile(
    r"(?<![\w/-])((?:global|train|training|optimizer|policy)[ _-])?"
    r"((?:\w+-)?(?:steps?|iter|iteration|rollout|perf|eval|episode|update|round))"
    r"[ _]*[:=#]?\s*(\d+)(?:\s*/\s*\d+)?\W*$",
    re.IGNORECASE,
)
"""``rollout 7: ``, ``Global step 12: ``, ``[step=3] ``; ``critic-step 3`` counts something else than ``step 3``."""
_PIECE = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[{}]")
_NO_LITERAL = re.compile(
    r"(?P<quoted>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|[A-Za-z_][\w.]*\(\s*(?P<scalar>[-+]?(?:\d[\d.eE+-]*|nan|inf))\s*(?:,[^()]*)?\)"
    r"|(?P<call>[A-Za-z_][\w.]*\([^()]*\))"
    r"|(?P<odd>[-+]?\b(?:nan|inf|NaN|Infinity)\b)"
)
"""What ``repr`` prints and no literal is: ``tensor(0.5)``, ``np.float64(0.5)``, ``nan``."""

Label = tuple[str, float]
"""What counts, and the count."""


def printed_dicts(line: str) -> Iterator[tuple[Label | None, dict[str, Any]]]:
    """Every dict that was printed on a line, with the step that stands before it."""
    end = 0
    if len(line) > _MAX_LINE:
        return
    for start, stop in _braces(line):
        row = _parsed(line[start:stop])
        if row is not None:
            yield _label(line[end:start]), row
        end = stop


def is_printed_row(row: Mapping[str, Any]) -> bool:
    """Whether a dict holds a number under a name."""
    return any(number(value) is not None for _, value in flat(row))


def is_dict(text: str) -> bool:
    """Whether a text begins with a whole printed dict of numbers."""
    start, stop = next(_braces(text), (1, 0))
    row = _parsed(text[start:stop]) if start == 0 else None
    return row is not None and is_printed_row(row)


def _braces(line: str) -> Iterator[tuple[int, int]]:
    """Where outermost pairs of braces begin and end; quotes hide braces."""
    start = line.find("{")
    for _ in range(_MAX_STARTS):
        if start < 0:
            return
        depth = 0
        for piece in _PIECE.finditer(line, start):
            depth += {"{": 1, "}": -1}.get(piece[0], 0)
            if depth > _MAX_DEPTH:
                return
            if depth == 0:
                if piece.end() - start <= _MAX_DICT:
                    yield start, piece.end()
                start = line.find("{", piece.end())
                break
        else:
            start = line.find("{", start + 1)


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        try:
            row = ast.literal_eval(_NO_LITERAL.sub(_literal, text))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return None
    if not isinstance(row, dict) or not all(isinstance(key, str) for key in row):
        return None
    return row


def _literal(found: re.Match[str]) -> str:
    if found["quoted"]:
        return found["quoted"]
    return repr(found["scalar"] or found["odd"]) if found["scalar"] or found["odd"] else "None"


def _label(before: str) -> Label | None:
    found = _LABEL.search(before[-80:])
    if found is None:
        return None
    return f"{found[1] or ''}{found[2]}".lower().replace(" ", "_"), float(found[3])
