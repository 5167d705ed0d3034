"""Sweep files: all settings on one context in one file that opens anywhere, without a model.

A file is safetensors, as a trace file is: named arrays and a JSON header. Nothing in it can run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from analysis.models.tokenization import TokenizedText
from analysis.pruning_effects.eviction.results import Setting, Sweep, SweepSpec
from analysis.results.file_parts import bytes_of, open_content, read_file, write_file
from analysis.results.trace import Check
from analysis.results.validate import require

SCHEMA_VERSION = 1
KEY = "logitscope-sweep"
"""Name of the header in the file."""
_ARRAYS = (
    "continuation_ids",
    "surprisal",
    "kl",
    "top_ids",
    "top_logprobs",
    "mass",
    "kept_bits",
    "future",
)
_TEXTS = ("context", "continuation")
_OF_TOKENS: dict[str, Any] = {
    "token_id": np.int64,
    **dict.fromkeys(("start", "end", "n_bytes", "cell"), np.int32),
    "is_special": np.bool_,
}
_KINDS: dict[str, tuple[type, ...]] = {"int": (int,), "str": (str,), "bool": (bool,), "float": (float, int)}


def save_sweep(sweep: Sweep, path: str | Path) -> Path:
    """Write a sweep to a file, completely or not at all.

    Parameters
    ----------
    sweep : Sweep
        All settings on one context.
    path : str or pathlib.Path
        Target, by custom ending in ``.sweep``. Replaced if it exists.

    Raises
    ------
    AnalysisError
        If the place cannot be written.
    """
    return write_file(sweep_bytes(sweep), path)


def sweep_bytes(sweep: Sweep) -> bytes:
    """The content of a file."""
    arrays = {name: getattr(sweep, name) for name in _ARRAYS}
    encodings = {text: getattr(sweep, f"{text}_encoding") for text in _TEXTS}
    for text, encoding in encodings.items():
        arrays |= {f"{text}.{name}": getattr(encoding, name) for name in _OF_TOKENS}
    header = {
        "schema": SCHEMA_VERSION,
        "spec": asdict(sweep.spec),
        "texts": {text: getattr(sweep, text) for text in _TEXTS},
        "tokens": {text: getattr(sweep, f"{text}_tokens") for text in _TEXTS},
        "cells": {text: encoding.cell_text for text, encoding in encodings.items()},
        "read": {text: encoding.note for text, encoding in encodings.items()},
        "settings": [asdict(setting) for setting in sweep.settings],
        "names": sweep.names,
        "skipped": sweep.skipped,
        "seconds": sweep.seconds,
        "checks": [asdict(check) for check in sweep.checks],
    }
    return bytes_of(arrays, {KEY: json.dumps(header)})


def load_sweep(path: str | Path) -> Sweep:
    """Open a sweep over evictions that was saved; no model is needed.

    Parameters
    ----------
    path : str or pathlib.Path
        What :meth:`Sweep.save` wrote.

    Returns
    -------
    Sweep

    Raises
    ------
    BrokenFileError
        If the file is missing, damaged, of another kind, or of a newer version.
    """
    data, name = read_file(path)
    return sweep_from_bytes(data, name)


def sweep_from_bytes(data: bytes, name: str = "the file") -> Sweep:
    """Open the content of a file; ``name`` is for messages.

    Raises
    ------
    BrokenFileError
        As :func:`load_sweep`.
    """
    return open_content(data, name, KEY, SCHEMA_VERSION, _assemble, what="sweep")


def _assemble(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Sweep:
    numbers = header["spec"]["layer_numbers"]
    require(isinstance(numbers, list) and all(type(layer) is int for layer in numbers), "numbers of layers")
    spec = SweepSpec(**header["spec"] | {"layer_numbers": tuple(numbers)})
    settings = tuple(Setting(**setting) for setting in header["settings"])
    _check_plain(spec)
    for setting in settings:
        _check_plain(setting)
    encodings = {text: _encoding(text, header, arrays) for text in _TEXTS}
    sweep = Sweep(
        spec=spec,
        context=str(header["texts"]["context"]),
        continuation=str(header["texts"]["continuation"]),
        context_tokens=tuple(str(token) for token in header["tokens"]["context"]),
        continuation_tokens=tuple(str(token) for token in header["tokens"]["continuation"]),
        context_encoding=encodings["context"],
        continuation_encoding=encodings["continuation"],
        settings=settings,
        names={int(i): str(text) for i, text in header["names"].items()},
        skipped={str(what): str(why) for what, why in header["skipped"].items()},
        seconds={str(what): float(seconds) for what, seconds in header["seconds"].items()},
        checks=tuple(Check(**check) for check in header["checks"]),
        **{name: arrays[name] for name in _ARRAYS},
    )
    _check(sweep)
    return sweep


def _check_plain(part: SweepSpec | Setting) -> None:
    """Values that came as JSON are of the kinds that their fields declare."""
    for field in fields(part):
        kinds, value = _KINDS.get(str(field.type)), getattr(part, field.name)
        right = kinds is None or (isinstance(value, kinds) and isinstance(value, bool) == (bool in kinds))
        require(right, f"{type(part).__name__}.{field.name}")


def _encoding(text: str, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> TokenizedText:
    """Tokens of one of the texts, whose parts belong together."""
    values = {name: arrays[f"{text}.{name}"] for name in _OF_TOKENS}
    n, cells = len(values["token_id"]), tuple(str(cell) for cell in header["cells"][text])
    for name, dtype in _OF_TOKENS.items():
        require(values[name].dtype == dtype and values[name].shape == (n,), f"{text}.{name}")
    cell = values["cell"]
    require(n > 0 and cell[0] == 0 and bool(np.isin(np.diff(cell), (0, 1)).all()), f"cells of the {text}")
    require(len(cells) == int(cell[-1]) + 1, f"cells of the {text}")
    start, end = values["start"], values["end"]
    require(bool(((start >= -1) & (end >= start)).all()), f"spans of the {text}")
    return TokenizedText(**values, cell_text=cells, note=str(header["read"][text]))


def _check(sweep: Sweep) -> None:
    """Refuse a sweep whose parts do not belong together.

    Raises
    ------
    ValueError
        Naming what does not fit.
    """
    spec, s = sweep.spec, len(sweep.settings)
    n, m, k = spec.n_context, spec.n_continuation, sweep.top_ids.shape[-1]
    require(min(spec.n_layers, spec.n_kv_heads, n, m, k) > 0 and 0 <= spec.n_answer <= m, "counts")
    require(spec.mode in ("prefill", "decode") and len(spec.layer_numbers) in (0, spec.n_layers), "spec")
    require(len(sweep.context_tokens) == len(sweep.context_encoding) == n, "tokens of the context")
    require(len(sweep.continuation_tokens) == len(sweep.continuation_encoding) == m, "tokens after it")
    packed = -(-spec.n_layers * spec.n_kv_heads * n // 8)
    shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
        "continuation_ids": (np.int64, (m,)),
        "surprisal": (np.float32, (s, m)),
        "kl": (np.float32, (s, m)),
        "top_ids": (np.int64, (s, m, k)),
        "top_logprobs": (np.float32, (s, m, k)),
        "mass": (np.float32, (s,)),
        "kept_bits": (np.uint8, (s, packed)),
        "future": (np.float32, (spec.n_layers, spec.n_kv_heads, n)),
    }
    for name, (dtype, shape) in shapes.items():
        array = getattr(sweep, name)
        require(array.dtype == dtype and array.shape == shape, f"{name} is not {np.dtype(dtype)} of shape {shape}")  # fmt: skip
    require(s > 0 and sweep.settings[0].policy == "full", "the full cache")
    require(all(0 < setting.kept <= 1 and setting.budget >= 0 for setting in sweep.settings), "shares kept")
    require(set(np.unique(sweep.top_ids).tolist()) <= set(sweep.names), "names of tokens are missing")
    for check in sweep.checks:
        require(isinstance(check.name, str) and isinstance(check.unit, str), "a check")
        require(all(isinstance(v, (int, float)) for v in (check.error, check.tolerance)), "a check")
