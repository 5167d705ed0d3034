"""Comparison files: both runs and what differs between them, in one file that opens anywhere, without a model.

A file is safetensors, as a trace file is: named arrays and a JSON header. The two runs lie in it as trace files do, so
each is checked as one. Nothing in it can run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from analysis.comparison.results import (
    Alignment,
    AlignmentKind,
    ComparedRows,
    ComparedSpans,
    Comparison,
    VocabularyKind,
    VocabularyMatch,
)
from analysis.results.file_parts import bytes_of, open_content, read_file, write_file
from analysis.results.trace import Check, Trace
from analysis.results.trace_file import trace_bytes, trace_from_bytes
from analysis.results.validate import require
from analysis.units import BIT

SCHEMA_VERSION = 1
KEY = "logitscope-comparison"
"""Name of the header in the file."""
_WHOLE = {
    **dict.fromkeys(("rank_a", "rank_b", "rank_of_a_in_b", "rank_of_b_in_a"), np.int32),
    **dict.fromkeys(("top_ids_a", "top_ids_b"), np.int64),
}
"""Arrays of rows that hold no float32."""
_LISTS = ("top_ids_a", "top_ids_b", "top_logprobs_a", "top_logprobs_b", "top_a_in_b", "top_b_in_a")
"""Arrays of rows with an axis of alternatives."""
_SPANS: dict[str, Any] = {
    **dict.fromkeys(("surprisal_a", "surprisal_b", "entropy_a", "entropy_b"), np.float64),
    **dict.fromkeys(("n_bytes", "n_tokens_a", "n_tokens_b"), np.int32),
}
_SLACK = 1e-4
"""Rounding allowed beyond the range of a divergence."""


def save_comparison(c: Comparison, path: str | Path) -> Path:
    """Write a comparison to a file, completely or not at all.

    Parameters
    ----------
    c : Comparison
        With both its runs.
    path : str or pathlib.Path
        Target, by custom ending in ``.compare``. Replaced if it exists.

    Raises
    ------
    AnalysisError
        If the place cannot be written.
    """
    return write_file(comparison_bytes(c), path)


def comparison_bytes(c: Comparison) -> bytes:
    """The content of a file."""
    arrays = {name: np.frombuffer(trace_bytes(run), np.uint8) for name, run in (("a", c.a), ("b", c.b))}
    for part in ("alignment", "spans", "rows"):
        values = getattr(c, part)
        for field in fields(values) if values is not None else ():
            value = getattr(values, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{part}.{field.name}"] = value
    if c.vocabulary.b_of_a is not None:
        arrays["vocabulary.b_of_a"] = c.vocabulary.b_of_a
    vocabulary = {
        f.name: getattr(c.vocabulary, f.name) for f in fields(VocabularyMatch) if f.name != "b_of_a"
    }
    header = {
        "schema": SCHEMA_VERSION,
        "same_run": c.a is c.b,
        "differs": c.differs,
        "alignment": {"kind": c.alignment.kind, "dropped": c.alignment.dropped, "notes": c.alignment.notes},
        "vocabulary": vocabulary,
        "texts": c.spans.text,
        "has_rows": c.rows is not None,
        "unavailable": c.unavailable,
        "checks": [asdict(check) for check in c.checks],
        "seconds": c.seconds,
        "notes": c.notes,
    }
    return bytes_of(arrays, {KEY: json.dumps(header)})


def load_comparison(path: str | Path) -> Comparison:
    """Open a comparison that was saved; no model is needed.

    Parameters
    ----------
    path : str or pathlib.Path
        What :meth:`Comparison.save` wrote.

    Returns
    -------
    Comparison

    Raises
    ------
    BrokenFileError
        If the file is missing, damaged, of another kind, or of a newer version.
    """
    data, name = read_file(path)
    return comparison_from_bytes(data, name)


def comparison_from_bytes(data: bytes, name: str = "the file") -> Comparison:
    """Open the content of a file; ``name`` is for messages.

    Raises
    ------
    BrokenFileError
        As :func:`load_comparison`.
    """
    return open_content(data, name, KEY, SCHEMA_VERSION, _assemble, what="comparison")


def _assemble(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Comparison:
    a = trace_from_bytes(arrays["a"].tobytes())
    b = a if header["same_run"] else trace_from_bytes(arrays["b"].tobytes())
    alignment = _alignment(header["alignment"], arrays, a, b)
    rows = _rows(arrays, len(alignment.pairs)) if header["has_rows"] else None
    for run, ids in ((a, rows.top_ids_a), (b, rows.top_ids_b)) if rows is not None else ():
        require(
            {int(i) for i in np.unique(ids)} - {-1} <= run.tokens.names.keys(), "names of tokens are missing"
        )
    return Comparison(
        a=a,
        b=b,
        differs=tuple(str(phrase) for phrase in header["differs"]),
        alignment=alignment,
        vocabulary=_vocabulary(header["vocabulary"], arrays, a, b),
        spans=_spans(header["texts"], arrays, alignment),
        rows=rows,
        unavailable={str(part): str(why) for part, why in header["unavailable"].items()},
        checks=tuple(Check(**check) for check in header["checks"]),
        seconds={str(part): float(s) for part, s in header["seconds"].items()},
        notes=tuple(str(note) for note in header["notes"]),
    )


def _alignment(plain: dict[str, Any], arrays: dict[str, np.ndarray], a: Trace, b: Trace) -> Alignment:
    pairs, span_a, span_b, span_bytes = (
        arrays[f"alignment.{name}"] for name in ("pairs", "span_a", "span_b", "span_bytes")
    )
    notes = tuple(str(note) for note in plain["notes"])
    found = Alignment(plain["kind"], pairs, span_a, span_b, span_bytes, int(plain["dropped"]), notes)
    require(found.kind in get_args(AlignmentKind), "alignment")
    n, sizes = len(found.pairs), (len(a.tokens), len(b.tokens))
    _check(found.pairs, np.int64, (n, 2), "pairs")
    _check(found.span_bytes, np.int32, (found.n_spans,), "bytes of spans")
    require(bool((found.pairs >= 0).all() and (found.pairs < sizes).all()), "pairs")
    require(bool((np.diff(found.pairs, axis=0) > 0).all()), "order of pairs")
    for span, size in zip((found.span_a, found.span_b), sizes, strict=True):
        _check(span, np.int32, (size,), "spans")
        require(bool(((span >= -1) & (span < found.n_spans)).all()), "spans")
    require(bool((found.span_bytes >= 0).all()), "bytes of spans")
    return found


def _vocabulary(plain: dict[str, Any], arrays: dict[str, np.ndarray], a: Trace, b: Trace) -> VocabularyMatch:
    b_of_a = arrays.get("vocabulary.b_of_a")
    require(plain["kind"] in get_args(VocabularyKind), "vocabulary")
    if b_of_a is not None:
        _check(b_of_a, np.int64, (a.spec.vocab_size,), "vocabulary")
        require(bool(((b_of_a >= -1) & (b_of_a < b.spec.vocab_size)).all()), "vocabulary")
    counts = {name: int(plain[name]) for name in ("n_shared", "only_a", "only_b")}
    return VocabularyMatch(plain["kind"], str(plain["why"]), b_of_a, **counts)


def _rows(arrays: dict[str, np.ndarray], n: int) -> ComparedRows:
    values = {f.name: arrays[f"rows.{f.name}"] for f in fields(ComparedRows) if f"rows.{f.name}" in arrays}
    k = values["top_ids_a"].shape[1], values["top_ids_b"].shape[1]
    for name, array in values.items():
        wide = (k[name.startswith("top_b") or name.endswith("ids_b") or name.endswith("probs_b")],)
        _check(array, _WHOLE.get(name, np.float32), (n, *(wide if name in _LISTS else ())), name)
    rows = ComparedRows(**values)
    for name, most in (("kl_ab", np.inf), ("kl_ba", np.inf), ("jsd", BIT), ("tv", 1.0)):
        array = getattr(rows, name)
        require(not bool(((array < 0) | (array > most + _SLACK)).any()), name)
    require(bool((rows.rank_a >= 0).all() and (rows.rank_b >= 0).all()), "ranks")
    require(bool((rows.top_ids_a >= -1).all() and (rows.top_ids_b >= -1).all()), "ids")
    return rows


def _spans(texts: list[Any], arrays: dict[str, np.ndarray], alignment: Alignment) -> ComparedSpans:
    values = {name: arrays[f"spans.{name}"] for name in _SPANS}
    for name, array in values.items():
        _check(array, _SPANS[name], (alignment.n_spans,), name)
    require(
        len(texts) == alignment.n_spans and all(isinstance(text, str) for text in texts), "texts of spans"
    )
    return ComparedSpans(**values, text=tuple(texts))


def _check(array: np.ndarray, dtype: Any, shape: tuple[int, ...], name: str) -> None:
    require(
        array.dtype == dtype and array.shape == shape, f"{name} is not {np.dtype(dtype)} of shape {shape}"
    )
