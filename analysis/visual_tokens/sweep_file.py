"""Files of one picture's prunings: safetensors, as a trace file is, so that nothing in them can run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from analysis.results.file_parts import bytes_of, open_content, read_file, write_file
from analysis.results.validate import require
from analysis.visual_tokens.sweep_results import VisualSetting, VisualSweep

SCHEMA_VERSION = 1
KEY = "logitscope-visual-sweep"
"""Name of the header in the file."""
_ARRAYS = {"gone_from": np.int16, "merged_into": np.int32}
"""(R, N) each, of the R settings that were run."""


def save_visual_sweep(sweep: VisualSweep, path: str | Path) -> Path:
    """Write a sweep to one file, completely or not at all; gives the path.

    Raises
    ------
    AnalysisError
        If the place cannot be written.
    """
    ran = [s for s in sweep.settings if not s.why]
    arrays = {name: np.stack([getattr(s, name) for s in ran]) for name in _ARRAYS}
    header = asdict(sweep)
    for setting in header["settings"]:
        for name in _ARRAYS:
            del setting[name]
    return write_file(bytes_of(arrays, {KEY: json.dumps({"schema": SCHEMA_VERSION, **header})}), path)


def load_visual_sweep(path: str | Path) -> VisualSweep:
    """Open what :meth:`VisualSweep.save` wrote; no model is needed.

    Raises
    ------
    BrokenFileError
        If the file is missing, damaged, of another kind, or of a newer version.
    """
    data, name = read_file(path)
    return open_content(data, name, KEY, SCHEMA_VERSION, _assemble, what="visual sweep")


def _assemble(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> VisualSweep:
    header = {name: value for name, value in header.items() if name != "schema"}
    listed, n = header.pop("settings"), header["n_visual"]
    ran = [k for k, one in enumerate(listed) if not one["why"]]
    require(0 in ran, "setting 0")
    for name, kind in _ARRAYS.items():
        require(arrays[name].dtype == kind and arrays[name].shape == (len(ran), n), name)
        for row, k in enumerate(ran):
            listed[k][name] = arrays[name][row]
    return VisualSweep(settings=tuple(VisualSetting(**one) for one in listed), **header)
