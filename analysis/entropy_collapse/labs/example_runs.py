"""One stored run of each lab, to look at before anything is trained.

``python -m analysis.entropy_collapse.labs.example_runs`` trains them again (a few minutes) and writes the files.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from analysis.entropy_collapse.labs.backcopy.results import BackcopyRun, BackcopySettings
from analysis.entropy_collapse.labs.backcopy.task import OracleRisks, shipped_task
from analysis.entropy_collapse.labs.four_squares.interventions import RESCALED
from analysis.entropy_collapse.labs.four_squares.results import LabRun, LabSettings

FOUR_SQUARES = Path(__file__).parent / "four_squares" / "example.safetensors"
BACKCOPY = Path(__file__).parent / "backcopy" / "example.safetensors"
INTERVENTIONS = ("none", "entropy bonus", "kl-cov")
"""Of the stored runs of four squares, the baseline first."""


def four_squares_example() -> list[LabRun]:
    """Stored runs of four squares, one for each of :data:`INTERVENTIONS`, with default settings."""
    arrays = load_file(FOUR_SQUARES)
    return [
        LabRun(LabSettings(RESCALED[name]), **_values(LabRun, arrays, f"{name}/")) for name in INTERVENTIONS
    ]


def backcopy_example() -> BackcopyRun:
    """Stored run of Bigram-Backcopy with default settings, on the shipped task."""
    arrays, task = load_file(BACKCOPY), shipped_task()
    oracle = OracleRisks(**{f.name: float(arrays[f"oracle/{f.name}"]) for f in fields(OracleRisks)})
    values = _values(BackcopyRun, arrays)
    return BackcopyRun(
        BackcopySettings(), oracle, **values, characters=task.characters, triggers=tuple(task.triggers)
    )


_NO_ARRAYS = ("settings", "oracle", "characters", "triggers")


def _values(kind: type, arrays: dict[str, np.ndarray], prefix: str = "") -> dict[str, Any]:
    """Fields of a run as they were stored; a single value is one again."""
    named = {f.name: arrays[prefix + f.name] for f in fields(kind) if f.name not in _NO_ARRAYS}
    return {name: array if array.ndim else array.item() for name, array in named.items()}


def _stored(run: Any, prefix: str = "") -> dict[str, np.ndarray]:
    named = {f.name: getattr(run, f.name) for f in fields(run) if f.name not in _NO_ARRAYS}
    return {prefix + name: np.array(value, order="C") for name, value in named.items()}


def make() -> None:
    """Train all of them and write both files."""
    from analysis.entropy_collapse.labs.backcopy.training import train_backcopy
    from analysis.entropy_collapse.labs.four_squares.grpo import run_lab

    backcopy = train_backcopy(BackcopySettings())
    oracle = {f"oracle/{name}": np.asarray(value) for name, value in asdict(backcopy.oracle).items()}
    save_file(_stored(backcopy) | oracle, BACKCOPY)
    runs = {name: run_lab(LabSettings(RESCALED[name])) for name in INTERVENTIONS}
    arrays = [_stored(run, f"{name}/") for name, run in runs.items()]
    save_file({key: value for part in arrays for key, value in part.items()}, FOUR_SQUARES)


if __name__ == "__main__":
    make()
