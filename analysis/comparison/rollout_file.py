"""Reads a file of rollouts: ``tokens`` and ``logprobs``, a sequence a row, as JSON lines, a JSON list or Parquet.

``tokens`` are ids, ``logprobs`` what the engine gave to each of them in nats, null where it drew none. A row may have
``prompt`` as well: ids that came before, none of them drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analysis.comparison.rollouts import Rollouts
from analysis.entropy_collapse.training.logs.one_file import existing
from analysis.errors import AnalysisError, BrokenFileError

EXAMPLE = Path(__file__).parent / "example_rollouts.jsonl"
"""Drawn by the embedded model in bfloat16, see ``rollout_example.py``."""
MAX_BYTES = 200_000_000
MAX_TOKENS = 200_000
"""Tokens that are read at most: the model has to read them all."""
ABOVE_ZERO = 1e-3
"""A log-probability may be above 0 by this much: engines that compute in 16 bits round so."""
_SHAPE = (
    'Write rows such as {"tokens": [5, 17], "logprobs": [-0.3, -1.2]}, as many log-probabilities as tokens.'
)


def read_rollouts(path: str | Path) -> Rollouts:
    """Rollouts of an engine, from a file.

    Parameters
    ----------
    path : str or pathlib.Path
        JSON lines, one JSON list, or Parquet (needs ``pyarrow``); found by its content, whatever it is called.

    Returns
    -------
    Rollouts

    Raises
    ------
    BrokenFileError
        With the row and what is wrong with it.
    AnalysisError
        If the file is too large, or ``pyarrow`` is not installed.
    """
    found = existing(path)
    if found.is_dir():
        raise BrokenFileError(f"{found.name} is a folder.", "Name a file of rollouts.")
    _require_small(found.stat().st_size, found.name)
    try:
        data = found.read_bytes()
    except OSError as error:
        raise BrokenFileError(
            f"{found.name} cannot be opened ({error.strerror}).", "Check the file."
        ) from None
    return rollouts_from_bytes(data, found.name)


def rollouts_from_bytes(data: bytes, name: str) -> Rollouts:
    """Rollouts from the content of a file.

    Parameters
    ----------
    data : bytes
        As in a file.
    name : str
        What to call them.

    Raises
    ------
    BrokenFileError, AnalysisError
        As :func:`read_rollouts`.
    """
    _require_small(len(data), name)
    return rollouts_of(_rows(data, name), name)


def rollouts_of(rows: Iterable[Mapping[str, Any]], name: str = "rollouts") -> Rollouts:
    """Rollouts from rows that are in memory.

    Parameters
    ----------
    rows : iterable of mapping
        With ``tokens``, ``logprobs`` and perhaps ``prompt``, as in a file.
    name : str
        What to call them.

    Raises
    ------
    BrokenFileError, AnalysisError
        As :func:`read_rollouts`.
    """
    tokens, logprobs, n_tokens = [], [], 0
    for number, row in enumerate(rows, 1):
        ids, given = _sequence(row, f"Row {number:,} of {name}")
        tokens.append(ids)
        logprobs.append(given)
        n_tokens += len(ids)
        if n_tokens > MAX_TOKENS:
            raise AnalysisError(
                f"{name} has more than {MAX_TOKENS:,} tokens.",
                "Take fewer of its rows: a few hundred say enough.",
            )
    rollouts = Rollouts(name, tuple(tokens), tuple(logprobs))
    if not rollouts.n_drawn:
        raise BrokenFileError(f"{name} holds no token that was drawn.", _SHAPE)
    return rollouts


def _sequence(row: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids and log-probabilities of one row."""
    there = row if isinstance(row, Mapping) else {}
    missing = [key for key in ("tokens", "logprobs") if not isinstance(there.get(key), list)]
    if missing:
        raise BrokenFileError(f"{where} has no list {missing[0]!r}.", _SHAPE)
    own, given, before = there["tokens"], there["logprobs"], there.get("prompt") or []
    if len(own) != len(given):
        raise BrokenFileError(
            f"{where} has {len(own):,} tokens and {len(given):,} log-probabilities.", _SHAPE
        )
    ids = [*before, *own] if isinstance(before, list) else [None]
    if not all(type(i) is int and 0 <= i < 2**31 for i in ids):
        raise BrokenFileError(f"{where} has a token that is no id.", "Ids are whole numbers from 0.")
    if not all(value is None or type(value) in (int, float) for value in given):
        raise BrokenFileError(f"{where} has a log-probability that is no number.", _SHAPE)
    wrong = [v for v in given if v is not None and not (-np.inf < v <= ABOVE_ZERO)]
    if wrong:
        raise BrokenFileError(
            f"{where} has the log-probability {wrong[0]:g}.",
            "Logarithms of probabilities are finite and not above 0; write null where nothing was drawn.",
        )
    values = [np.nan if v is None else float(v) for v in given]
    return np.array(ids, np.int64), np.array([np.nan] * len(before) + values, np.float64)


def _require_small(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise AnalysisError(
            f"{name} has {size / 1e6:,.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are read.",
            "Take fewer of its rows.",
        )


def _rows(data: bytes, name: str) -> Iterable[Any]:
    """Rows of a file, whatever it is written in."""
    if data.startswith(b"PAR1"):
        return _parquet_rows(data, name)
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise BrokenFileError(f"{name} is no text and no Parquet file.", _SHAPE) from None
    if text.startswith("["):
        rows: Iterable[Any] = _parsed(text, name)
        return rows
    lines = ((n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip())
    return (_parsed(line, f"Line {n:,} of {name}") for n, line in lines)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BrokenFileError(f"{where} is no valid JSON, or cut short.", _SHAPE) from None


def _parquet_rows(data: bytes, name: str) -> Iterator[Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise AnalysisError(
            "Reading Parquet needs the package pyarrow, which is not installed.",
            "Install it with `pip install pyarrow`, or write JSON lines.",
        ) from None
    try:
        with parquet.ParquetFile(pa.BufferReader(data)) as file:
            names = [n for n in ("tokens", "logprobs", "prompt") if n in file.schema_arrow.names]
            for batch in file.iter_batches(1024, columns=names):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split(". ")[0].strip()[:120]
        raise BrokenFileError(f"{name} is damaged or cut short ({reason}).", "Copy it again.") from None
