"""Files of what was written: a prompt and its tree in one file that opens anywhere, without a model.

A file is safetensors, as a trace file is: named arrays and a JSON header. Nothing in it can run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from analysis.results.file_parts import bytes_of, open_content, read_file, write_file
from analysis.results.token_quantities import stored_quantities
from analysis.results.tokens import NextToken
from analysis.results.trace import Check
from analysis.results.validate import require
from analysis.writing.results import (
    Branch,
    Message,
    Prompt,
    Samplers,
    Span,
    StepNumbers,
    TokenNames,
    Writing,
)
from analysis.writing.tokens import trace_of_ids

SCHEMA_VERSION = 1
KEY = "logitscope-writing"
"""Name of the header in the file."""
_QUANTITIES = {q.name: q.stored for q in stored_quantities()}
_KINDS: dict[str, Any] = {
    **_QUANTITIES,
    **dict.fromkeys(("top_logprobs", "drawn_prob", "mass_kept", "final_states"), np.float32),
    "top_ids": np.int64,
    "n_kept": np.int32,
}
_WIDE = ("top_ids", "top_logprobs", "n_kept", "mass_kept", "final_states")
_ENDED = ("stop", "limit", "stopped", "context")


def save_writing(w: Writing, path: str | Path) -> Path:
    """Write a prompt and its tree to a file, completely or not at all.

    Parameters
    ----------
    w : Writing
        What was written.
    path : str or pathlib.Path
        Target, by custom ending in ``.writing``. Replaced if it exists.

    Raises
    ------
    AnalysisError
        If the place cannot be written.
    """
    return write_file(writing_bytes(w), path)


def writing_bytes(w: Writing) -> bytes:
    """The content of a file."""
    arrays = {f"prompt.{name}": getattr(w.prompt_tokens, name) for name in (*_QUANTITIES, *_WIDE[:2])}
    branches = []
    for branch in w.branches:
        at = f"{branch.id}."
        arrays |= {f"{at}{f.name}": getattr(branch.numbers, f.name) for f in fields(StepNumbers)}
        arrays |= {f"{at}ids": branch.ids}
        arrays |= {f"{at}after.{name}": getattr(branch.after, name) for name in _WIDE[:2]}
        if branch.after_state is not None:
            arrays[f"{at}after_state"] = branch.after_state
        plain = {
            "parent": branch.parent,
            "at": branch.at,
            "ended": branch.ended,
            "samplers": asdict(branch.samplers),
            "sample": branch.sample,
            "forced": branch.forced,
            "name": branch.name,
            "stop": branch.stop,
            "after": {f.name: getattr(branch.after, f.name) for f in fields(NextToken) if f.type == "float"},
            "checks": [asdict(check) for check in branch.checks],
        }
        branches.append(plain)
    header = {
        "schema": SCHEMA_VERSION,
        "model": w.model,
        "revision": w.revision,
        "dtype": w.dtype,
        "prompt": asdict(w.prompt),
        "branches": branches,
        "names": w.names.names,
        "pieces": {i: piece.hex() for i, piece in w.names.pieces.items()},
        "special": sorted(w.names.special),
        "notes": w.notes,
    }
    return bytes_of(arrays, {KEY: json.dumps(header)})


def load_writing(path: str | Path) -> Writing:
    """Open a file of what was written.

    Parameters
    ----------
    path : str or pathlib.Path
        What :meth:`Writing.save` wrote.

    Returns
    -------
    Writing

    Raises
    ------
    BrokenFileError
        If the file is missing, damaged, of another kind, or of a newer version.
    """
    data, name = read_file(path)
    return writing_from_bytes(data, name)


def writing_from_bytes(data: bytes, name: str = "the file") -> Writing:
    """Open the content of a file; ``name`` is for messages.

    Raises
    ------
    BrokenFileError
        As :func:`load_writing`.
    """
    return open_content(data, name, KEY, SCHEMA_VERSION, _assemble, what="writing")


def _assemble(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Writing:
    names = TokenNames(
        {int(i): str(text) for i, text in header["names"].items()},
        {int(i): bytes.fromhex(piece) for i, piece in header["pieces"].items()},
        frozenset(int(i) for i in header["special"]),
    )
    prompt = _prompt(header["prompt"])
    n = len(prompt.ids)
    quantities = {name: arrays[f"prompt.{name}"] for name in _QUANTITIES}
    top_ids, top_logprobs = (arrays[f"prompt.{name}"] for name in _WIDE[:2])
    _check_arrays(quantities | {"top_ids": top_ids, "top_logprobs": top_logprobs}, n)
    tokens = trace_of_ids(prompt.ids, names, quantities, top_ids, top_logprobs)
    branches: list[Branch] = []
    for number, plain in enumerate(header["branches"]):
        branches.append(_branch(number, plain, arrays, branches, n))
    model, revision, dtype = (str(header[name]) for name in ("model", "revision", "dtype"))
    notes = tuple(str(note) for note in header["notes"])
    w = Writing(model, revision, dtype, prompt, tokens, tuple(branches), names, notes)
    used = {*prompt.ids, *(int(i) for branch in branches for i in branch.ids)}
    tops = [top_ids, *(b.numbers.top_ids for b in branches), *(b.after.top_ids for b in branches)]
    shown = {int(i) for ids in tops for i in np.unique(ids)}
    require(used <= set(names.pieces), "bytes of tokens are missing")
    require((used | shown) - {-1} <= set(names.names), "names of tokens are missing")
    return w


def _prompt(plain: dict[str, Any]) -> Prompt:
    prompt = Prompt(
        str(plain["text"]),
        tuple(int(i) for i in plain["ids"]),
        tuple(Message(str(m["role"]), str(m["content"])) for m in plain["messages"]),
        tuple(Span(str(s["kind"]), int(s["start"]), int(s["end"])) for s in plain["spans"]),
        tuple(int(i) for i in plain["stop_ids"]),
        tuple(str(note) for note in plain["notes"]),
    )
    require(bool(prompt.ids) and min(prompt.ids) >= 0, "ids of the prompt")
    require(all(0 <= s.start <= s.end <= len(prompt.ids) for s in prompt.spans), "spans")
    return prompt


def _branch(
    number: int, plain: dict[str, Any], arrays: dict[str, np.ndarray], before: list[Branch], n_prompt: int
) -> Branch:
    at = f"{number}."
    ids, parent = arrays[f"{at}ids"], plain["parent"]
    values = {f.name: arrays[at + f.name] for f in fields(StepNumbers)}
    _check_arrays(values, len(ids))
    require(ids.dtype == np.int64 and ids.ndim == 1 and bool((ids >= 0).all()), "ids")
    samplers = Samplers(
        tuple((str(name), float(setting)) for name, setting in plain["samplers"]["steps"]),
        int(plain["samplers"]["seed"]),
    )
    require(values["n_kept"].shape[1] == values["mass_kept"].shape[1] == len(samplers.steps), "samplers")
    if parent is None:
        require(plain["at"] == n_prompt, "the place of a branch")
    else:
        require(type(parent) is int and 0 <= parent < number, "the parent of a branch")
        above = before[parent]
        require(above.at < plain["at"] <= above.at + len(above), "the place of a branch")
    require(plain["ended"] in _ENDED, "the end of a branch")
    after: dict[str, Any] = {name: float(value) for name, value in plain["after"].items()}
    after |= {name: arrays[f"{at}after.{name}"] for name in _WIDE[:2]}
    return Branch(
        id=number,
        parent=parent,
        at=int(plain["at"]),
        ids=ids,
        numbers=StepNumbers(**values),
        after=NextToken(**after),
        ended=plain["ended"],
        samplers=samplers,
        sample=int(plain["sample"]),
        forced=int(plain["forced"]),
        name=str(plain["name"]),
        after_state=arrays.get(f"{at}after_state"),
        checks=tuple(Check(**check) for check in plain["checks"]),
        stop=tuple(str(text) for text in plain.get("stop", ())),
    )


def _check_arrays(values: dict[str, np.ndarray], n: int) -> None:
    for name, array in values.items():
        right = array.dtype == _KINDS[name] and array.ndim == (2 if name in _WIDE else 1) and len(array) == n
        require(right, name)
