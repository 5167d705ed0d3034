"""A folder of checkpoints, or several models: the shape of their states for the same text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.paths import clean_path
from analysis.progress import Progress, part, silent
from analysis.results.spectra import (
    alpha_req,
    effective_rank,
    effective_rank_singular,
    eigenvalue_shares,
    renyi_entropy,
)

if TYPE_CHECKING:
    from analysis.results.trace import Trace

MOST_CHECKPOINTS = 200
LEAST_CHANGE = 0.05
"""A phase changes the rank by at least this share."""
_STEP = re.compile(r"(?:step|checkpoint|ckpt)\D?(\d+)|(\d+)\D*$", re.IGNORECASE)
"""The number after such a word ("step1000-tokens4B"), else the last one."""


@dataclass(frozen=True)
class ModelShape:
    """What one model makes of one text: over its layers, and at its end."""

    name: str
    step: int | None
    """Training step from the folder's name; None for a model that is no checkpoint."""
    n_tokens: int
    spectrum: np.ndarray
    """float64, (2, L + 1, n): as :attr:`analysis.results.layers.LayerTrace.spectrum`."""
    rank_singular: float
    """RankMe's formula: effective rank of the uncentred final states, from singular values. The rows are the tokens of
    one text, where RankMe has one vector per input, so it compares models on a text and not with the paper."""
    rank_eigen: float
    """Effective rank of the centred final states, from covariance eigenvalues."""
    erank: float
    """As Diff-eRank takes it: centred, row-normalised final states, from eigenvalues."""
    alpha: float
    """alpha-ReQ of the centred final states; NaN with fewer than 100 eigenvalues."""
    alpha_r_squared: float

    def entropy(self, order: float = 1.0, *, first_token: bool = True) -> np.ndarray:
        """Matrix entropy of layers 0 to L, nats."""
        return renyi_entropy(self.spectrum[0 if first_token else 1], order)


def model_shape(trace: Trace, name: str | None = None, step: int | None = None) -> ModelShape:
    """Reduce a run to the shape of its states.

    Parameters
    ----------
    trace : Trace
        A run with spectra of its states.
    name : str, optional
        What to call the model; its own name by default.
    step : int, optional
        Training step, for a checkpoint.

    Returns
    -------
    ModelShape

    Raises
    ------
    ValueError
        If the run kept no spectra or no final states.
    """
    states = trace.final_states
    if trace.layers.spectrum is None or states is None:
        raise ValueError("the run kept no spectra or no final states")
    centred = eigenvalue_shares(states, normalise=False)
    fit = alpha_req(centred)
    return ModelShape(
        name or trace.spec.model,
        step,
        trace.spec.n_tokens,
        trace.layers.spectrum,
        float(effective_rank_singular(eigenvalue_shares(states, centre=False, normalise=False))),
        float(effective_rank(centred)),
        float(effective_rank(eigenvalue_shares(states))),
        fit.alpha if fit else float("nan"),
        fit.r_squared if fit else float("nan"),
    )


def find_checkpoints(folder: str | Path) -> list[tuple[int, Path]]:
    """Checkpoints in a folder, by rising step: subfolders with a ``config.json`` and a number in their name.

    Raises
    ------
    AnalysisError
        If there is no such folder, it cannot be read, or there are fewer than two checkpoints in it.
    """
    try:
        folder = Path(clean_path(str(folder))).expanduser()
        if not folder.is_dir():
            raise AnalysisError(f"There is no folder {folder}.", "Check the path.")
        found = [
            (int(match[1] or match[2]), path)
            for path in folder.iterdir()
            if (match := _STEP.search(path.name)) and (path / "config.json").is_file()
        ]
    except (OSError, RuntimeError) as error:  # no access, too long a name, an unknown ~user
        reason = getattr(error, "strerror", None) or str(error)
        raise AnalysisError(
            f"The folder {str(folder)[:80]} cannot be read ({reason.strip(' .')}).", "Check the path."
        ) from None
    if len(found) < 2:
        raise AnalysisError(
            f"The folder {folder} holds {len(found)} checkpoint{'s' * (len(found) != 1)}.",
            "Choose one with at least two folders such as checkpoint-100, each with a config.json.",
        )
    if len(found) > MOST_CHECKPOINTS:
        raise AnalysisError(
            f"The folder {folder} holds {len(found):,} checkpoints.",
            f"Move up to {MOST_CHECKPOINTS} of them into a folder of their own.",
        )
    return sorted(found)


def compare_models(
    sources: Sequence[tuple[str, int | None]],
    text: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    on_progress: Progress | None = None,
    on_partial: Callable[[list[ModelShape]], None] | None = None,
) -> list[ModelShape]:
    """Read the same text with several models, one in memory at a time.

    Parameters
    ----------
    sources : sequence of (str, int or None)
        What :func:`analysis.load_model` takes, and a training step or None.
    text : str
        At least 3 tokens of it.
    device, dtype : str
        As for :func:`analysis.load_model`.
    on_progress : callable, optional
        ``on_progress(share, what)``.
    on_partial : callable, optional
        Called with the models that are done, after each.

    Returns
    -------
    list of ModelShape

    Raises
    ------
    AnalysisError
        As loading and reading do; says which model.
    """
    from analysis.forward.trace import trace
    from analysis.models.loading import load_model
    from analysis.models.spec import ModelSpec

    done: list[ModelShape] = []
    for number, (name, (source, step)) in enumerate(zip(_names(sources), sources, strict=True)):
        report = part(on_progress or silent, number, len(sources), name=name)
        report(0.0, "loading")
        try:
            model = load_model(ModelSpec(source, device=device, dtype=dtype))  # type: ignore[arg-type]
            run = trace(model, text, attention=False, spectra=["states"], on_progress=report)
        except AnalysisError as error:
            raise type(error)(f"{name}: {error.message}", error.hint) from error
        done.append(model_shape(run, name, step))
        del model, run
        if on_partial is not None:
            on_partial(list(done))
    return done


def _names(sources: Sequence[tuple[str, int | None]]) -> list[str]:
    """Short names; the whole source, and a number, where two would be called the same."""
    short = [Path(source).name if step is None else f"step {step}" for source, step in sources]
    names = [
        name if short.count(name) == 1 else source for name, (source, _) in zip(short, sources, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{name} ({names[:i].count(name) + 1})"
        for i, name in enumerate(names)
    ]


def compare_checkpoints(
    folder: str | Path,
    text: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    on_progress: Progress | None = None,
    on_partial: Callable[[list[ModelShape]], None] | None = None,
) -> list[ModelShape]:
    """Read the same text with every checkpoint of a folder, by rising step.

    Parameters
    ----------
    folder : str or Path
        As for :func:`find_checkpoints`.
    text, device, dtype, on_progress, on_partial
        As for :func:`compare_models`.

    Returns
    -------
    list of ModelShape

    Raises
    ------
    AnalysisError
        As :func:`find_checkpoints` and :func:`compare_models` do.
    """
    sources = [(str(path), step) for step, path in find_checkpoints(folder)]
    return compare_models(
        sources, text, device=device, dtype=dtype, on_progress=on_progress, on_partial=on_partial
    )


@dataclass(frozen=True)
class Phase:
    """A stretch of training in which the rank goes one way."""

    name: str
    """"collapse", "expansion" or "compression"."""
    first: int
    """Step it begins at."""
    last: int


def phases(shapes: Sequence[ModelShape]) -> list[Phase]:
    """Phases of training by the effective rank of the final states (eigenvalues).

    Returns
    -------
    list of Phase
        Up to three: *collapse* down to the lowest rank before the peak, *expansion* up to the peak,
        *compression* after it. A phase is told only if it changes the rank by 5 % or more. Empty
        with fewer than four checkpoints. A rank that never rises by 5 % is one compression.

    References
    ----------
    "Tracing the representation geometry of language models from pretraining to post-training" (arXiv
    2509.23024) names them warm-up, entropy-seeking and compression-seeking; the rule is ours.
    """
    known = [(s.step, s.rank_eigen) for s in shapes if s.step is not None and np.isfinite(s.rank_eigen)]
    if len(known) < 4:
        return []
    steps, ranks = [step for step, _ in known], np.array([rank for _, rank in known])
    end = len(known) - 1
    peak = int((ranks / np.minimum.accumulate(ranks)).argmax())
    valley = int(ranks[: peak + 1].argmin())
    if ranks[peak] / ranks[valley] - 1 >= LEAST_CHANGE:
        spans = [("collapse", 0, valley), ("expansion", valley, peak), ("compression", peak, end)]
    else:
        spans = [("compression", 0, end)]
    return [
        Phase(name, steps[a], steps[b])
        for name, a, b in spans
        if b > a and abs(ranks[b] / ranks[a] - 1) >= LEAST_CHANGE
    ]


def shapes_frame(shapes: Sequence[ModelShape]) -> pd.DataFrame:
    """One row per model: name, step, the three ranks, alpha-ReQ and its R squared."""
    columns = ("name", "step", "n_tokens", "rank_singular", "rank_eigen", "erank", "alpha", "alpha_r_squared")
    return pd.DataFrame([{column: getattr(shape, column) for column in columns} for shape in shapes])
