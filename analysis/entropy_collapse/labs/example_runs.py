"""One stored run of each lab, to look at before anything is trained.

``python -m analysis.entropy_collapse.labs.example_runs`` trains them again (a few minutes) and writes the files.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from analysis.entropy_collapse.labs.backcopy.results import BackcopyRun, BackcopySettings
from analysis.entropy_collapse.labs.backcopy.task import OracleRisks
from analysis.entropy_collapse.labs.four_squares.interventions import RESCALED
from analysis.entropy_collapse.labs.four_squares.results import LabRun, LabSettings

FOUR_SQUARES = Path(__file__).parent / "four_squares" / "example.npz"
BACKCOPY = Path(__file__).parent / "backcopy" / "example.npz"
INTERVENTIONS = ("none", "entropy bonus", "kl-cov")
"""Of the stored runs of four squares, the baseline first."""


def four_squares_example() -> list[LabRun]:
    """Stored runs of four squares, one for each of :data:`INTERVENTIONS`, with default settings."""
    with np.load(FOUR_SQUARES) as file:
        return [
            LabRun(LabSettings(RESCALED[name]), **_values(LabRun, file, f"{name}/")) for name in INTERVENTIONS
        ]


def backcopy_example() -> BackcopyRun:
    """Stored run of Bigram-Backcopy with default settings."""
    with np.load(BACKCOPY) as file:
        values = _values(BackcopyRun, file)
        values["triggers"] = tuple(int(t) for t in values["triggers"])
        oracle = OracleRisks(**{f.name: float(file[f"oracle/{f.name}"]) for f in fields(OracleRisks)})
    return BackcopyRun(BackcopySettings(), oracle, **values)


def _values(kind: type, file: Any, prefix: str = "") -> dict[str, Any]:
    """Fields of a run as they were stored; a single value is one again."""
    names = [f.name for f in fields(kind) if f.name not in ("settings", "oracle")]
    arrays = {name: file[prefix + name] for name in names}
    return {name: array if array.ndim else array.item() for name, array in arrays.items()}


def _stored(run: Any, prefix: str = "") -> dict[str, Any]:
    names = [f.name for f in fields(run) if f.name not in ("settings", "oracle")]
    return {prefix + name: np.asarray(getattr(run, name)) for name in names}


def make() -> None:
    """Train all of them and write both files."""
    from analysis.entropy_collapse.labs.backcopy.training import train_backcopy
    from analysis.entropy_collapse.labs.four_squares.grpo import run_lab

    backcopy = train_backcopy(BackcopySettings())
    oracle = {f"oracle/{name}": value for name, value in asdict(backcopy.oracle).items()}
    np.savez_compressed(BACKCOPY, **_stored(backcopy), **oracle)
    runs = {name: run_lab(LabSettings(RESCALED[name])) for name in INTERVENTIONS}
    arrays = [_stored(run, f"{name}/") for name, run in runs.items()]
    np.savez_compressed(FOUR_SQUARES, **{key: value for part in arrays for key, value in part.items()})


if __name__ == "__main__":
    make()
