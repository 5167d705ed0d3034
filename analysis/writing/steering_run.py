"""Entropic activation steering with questions that come with this package: a direction from some, its effect on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analysis.progress import Progress, part, silent
from analysis.writing.steering import Steered, steer, steering_vector

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel

CHOICES = (" Yes", " No")
_FORM = "Question: {}\nAnswer Yes or No. Answer:"
FOUND_WITH = tuple(
    map(
        _FORM.format,
        (
            "Is ice cold?",
            "Is the sun hot?",
            "Can fish swim?",
            "Is seven larger than nine?",
            "Was the first user of this chair left-handed?",
            "Will the next stranger I meet be called Anna?",
            "Is a river better than a lake?",
            "Did it rain here on this day a hundred years ago?",
        ),
    )
)
"""Prompts, from those with one answer to those with none, that the direction is made of."""
STEERED = tuple(
    map(
        _FORM.format,
        (
            "Is grass green?",
            "Do birds have wings?",
            "Is a tomato a vegetable?",
            "Will a thrown coin show heads?",
        ),
    )
)
"""Other prompts, that are read with it."""
STRENGTHS = tuple(round(0.1 * n, 1) for n in range(-5, 6))
"""Beyond these the embedded model says neither Yes nor No."""


def measure_steering(
    model: LanguageModel,
    strengths: Sequence[float] = STRENGTHS,
    *,
    layer: int | None = None,
    on_progress: Progress | None = None,
) -> Steered:
    """Find the direction of unsure prompts, and how unsure other prompts are along it.

    Parameters
    ----------
    model : LanguageModel
        Reads the prompts.
    strengths : sequence of float
        Length of what is added, in mean lengths of the states it is added to; below 0 towards sure prompts.
    layer : int, optional
        From 1 to L; the middle one by default.
    on_progress : callable, optional
        Raising from it stops the work.

    Raises
    ------
    AnalysisError
        As for :func:`analysis.writing.steering.steering_vector` and :func:`analysis.writing.steering.steer`.
    """
    report = on_progress or silent
    found = steering_vector(model, FOUND_WITH, CHOICES, layer, part(report, 0, 1, of=0.1))
    length = found.state_norm / float(np.linalg.norm(found.vector))
    unit = replace(found, vector=(found.vector * length).astype(np.float32))
    return steer(model, STEERED, unit, strengths, part(report, 0.1, 1, of=0.9))
