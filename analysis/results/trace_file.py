"""Trace files: one measured run in one file that opens anywhere.

A file is safetensors: named arrays and a JSON header with schema version, spec, text,
versions and self-checks. Nothing in it can run. Opening one needs no model.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from analysis.results.attention import AttentionTrace
from analysis.results.file_parts import bytes_of, open_content, read_file, write_file
from analysis.results.layers import LayerTrace
from analysis.results.token_quantities import stored_quantities
from analysis.results.tokens import NextToken, TokenTrace
from analysis.results.trace import Check, Trace, TraceSpec
from analysis.results.validate import check_trace

SCHEMA_VERSION = max(5, *(quantity.since for quantity in stored_quantities()))
"""Higher when a file may hold what earlier versions do not know. 2: attention of some layers only, chunks, gates.
3: ranks of the logit lens. 4: tokens that were given. 5: what a side of a comparison was."""
KEY = "logitscope"
"""Name of the header in the file."""

_PARTS: dict[str, type] = {
    "tokens": TokenTrace,
    "layers": LayerTrace,
    "next": NextToken,
    "attention": AttentionTrace,
}


def save_trace(trace: Trace, path: str | Path) -> Path:
    """Write a run to a file, completely or not at all.

    Parameters
    ----------
    trace : Trace
        The run.
    path : str or pathlib.Path
        Target, by custom ending in ``.trace``. Replaced if it exists.

    Raises
    ------
    AnalysisError
        If the place cannot be written.
    """
    return write_file(trace_bytes(trace), path)


def trace_bytes(trace: Trace) -> bytes:
    """The content of a trace file."""
    arrays: dict[str, np.ndarray] = {}
    plain: dict[str, Any] = {}
    for part in _PARTS:
        if getattr(trace, part) is None:
            continue
        for field in fields(getattr(trace, part)):
            value = getattr(getattr(trace, part), field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{part}.{field.name}"] = value
            elif value is not None:
                plain[f"{part}.{field.name}"] = value
    if trace.final_states is not None:
        arrays["final_states"] = trace.final_states
    header = {
        "schema": SCHEMA_VERSION,
        "spec": asdict(trace.spec),
        "text": trace.text,
        "checks": [asdict(c) for c in trace.checks],
        "seconds": trace.seconds,
        "versions": trace.versions,
        "unavailable": trace.unavailable,
        "notes": list(trace.notes),
        "plain": plain,
    }
    return bytes_of(arrays, {KEY: json.dumps(header)})


def load_trace(path: str | Path) -> Trace:
    """Open a trace file.

    Raises
    ------
    BrokenFileError
        If the file is missing, damaged, no trace, or of a newer version.
    """
    data, name = read_file(path)
    return trace_from_bytes(data, name)


def trace_from_bytes(data: bytes, name: str = "the file") -> Trace:
    """Open the content of a trace file; ``name`` is for messages.

    Raises
    ------
    BrokenFileError
        As :func:`load_trace`.
    """
    return open_content(data, name, KEY, SCHEMA_VERSION, _assemble, what="trace")


def _assemble(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Trace:
    parts: dict[str, Any] = {}
    for part, kind in _PARTS.items():
        values: dict[str, Any] = {
            k.removeprefix(f"{part}."): v for k, v in arrays.items() if k.startswith(f"{part}.")
        }
        values |= {
            k.removeprefix(f"{part}."): v for k, v in header["plain"].items() if k.startswith(f"{part}.")
        }
        if part == "tokens":
            values["text"], values["cell_text"] = tuple(values["text"]), tuple(values["cell_text"])
            values["names"] = {int(i): str(text) for i, text in values["names"].items()}
        parts[part] = kind(**values) if values or part != "attention" else None
    spec = dict(header["spec"])
    for name in ("lens_layers", "spectra"):
        spec[name] = tuple(spec.get(name, ()))
    trace = Trace(
        spec=TraceSpec(**spec),
        text=header["text"],
        checks=tuple(Check(**c) for c in header["checks"]),
        final_states=arrays.get("final_states"),
        seconds=header["seconds"],
        versions=header["versions"],
        unavailable=header["unavailable"],
        notes=tuple(str(note) for note in header.get("notes", ())),
        **parts,
    )
    check_trace(trace)
    return trace
